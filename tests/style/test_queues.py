"""Every queue has a bound.

A queue without one turns a slow reader into a machine without memory, minutes later and somewhere else. A deque that
something else keeps short says so with `# bounded: <by what>`.
"""

from __future__ import annotations

import ast

import pytest

from tests.style.source import PRODUCT, Source, dotted, sample, sources

SIZED = {"Queue", "LifoQueue", "PriorityQueue", "JoinableQueue"}  # first argument or maxsize
OWNERS = {"", "asyncio", "queue", "multiprocessing", "mp"}


def violations(source: Source) -> list[str]:
    return [
        source.at(node, f"{dotted(node.func)}() without a bound")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _unbounded(node) and not source.says(node, "bounded:")
    ]


def _unbounded(call: ast.Call) -> bool:
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    owner, _, kind = dotted(function).rpartition(".")
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if kind == "deque" and owner in {"", "collections"}:
        return not (len(call.args) > 1 or "maxlen" in named)
    if owner not in OWNERS:
        return False
    if kind == "SimpleQueue":
        return True
    if kind not in SIZED:
        return False
    bound = call.args[0] if call.args else named.get("maxsize")
    if bound is None or isinstance(bound, ast.UnaryOp):
        return True
    return isinstance(bound, ast.Constant) and not (isinstance(bound.value, int) and bound.value > 0)


def test_queues_are_bounded() -> None:
    found = [violation for source in sources(*PRODUCT) for violation in violations(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "asyncio.Queue()",
        "asyncio.Queue[int]()",
        "asyncio.Queue(0)",
        "Queue(maxsize=-1)",
        "queue.SimpleQueue()",
        "deque()",
        "collections.deque([1])",
        "asyncio.PriorityQueue()  # bounded:",
    ],
)
def test_an_unbounded_queue_is_seen(text: str) -> None:
    assert violations(sample(text))


@pytest.mark.parametrize(
    "text",
    [
        "asyncio.Queue(10)",
        "asyncio.Queue[int](maxsize=LIMIT)",
        "deque(maxlen=5)",
        "deque([], 5)",
        "deque()  # bounded: by the number of slots",
        "nats.Queue()",
    ],
)
def test_a_bound_is_seen(text: str) -> None:
    assert not violations(sample(text))
