"""Decisions must come out the same when they are replayed.

A fold or a decision that reads the clock, makes an id or draws a number gives another answer tomorrow, and the ledger
no longer explains the state. So the contracts take time and ids as arguments; `clock.py` and `ids.py` are the only
places that ask the machine. Drawing from a `random.Random` made with a seed is fine: it replays.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.style.source import Source, dotted, sample, sources

ASKS_THE_MACHINE = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "uuid": {"uuid1", "uuid3", "uuid4", "uuid5", "uuid6", "uuid7", "getnode"},
    "os": {"urandom", "getrandom"},
}
MODULES = ("random", "secrets")
ALLOWED = {"random.Random"}
JITTER = ("random.random", "random.uniform")
CLOCKS = ("time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns", "time.sleep")
# These wait for servers, so they measure how long and spread their retries; they decide nothing.
WAITING = ("log", "blobs", "client", "testing")
# Keys and nonces decide nothing and must never come again.
EXEMPT = {Path(f"contracts/trialbook/{name}") for name in ("clock.py", "ids.py", "vault/keys.py")}


def violations(source: Source) -> list[str]:
    imported = _imported(source.tree)
    waits = any(part in WAITING for part in source.path.parts[2:-1])
    found = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        head, _, rest = name.partition(".")
        full = f"{imported.get(head, head)}.{rest}" if rest else imported.get(head, head)
        if waits and full in (*CLOCKS, *JITTER):
            continue
        if _asks(full) or full in CLOCKS or (full == "random.Random" and not node.args):
            found.append(source.at(node, f"{full}() asks the machine; take it as an argument (Clock, IdSource, seed)"))
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _asks(full: str) -> bool:
    owner, _, function = full.rpartition(".")
    last = owner.rpartition(".")[2]
    if owner.split(".")[0] in MODULES:
        return full not in ALLOWED
    return function in ASKS_THE_MACHINE.get(last, ())


def test_the_contracts_ask_no_clock_and_draw_no_numbers() -> None:
    found = [
        violation for source in sources("contracts") if source.path not in EXEMPT for violation in violations(source)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "from time import time\ntime()",
        "import time as t\nt.time_ns()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid4 as new\nnew()",
        "import random\nrandom.choice([1])",
        "import random\nrandom.Random()",
        "import secrets\nsecrets.token_hex()",
        "import os\nos.urandom(8)",
        "import time\ntime.monotonic()",
    ],
)
def test_a_question_to_the_machine_is_seen(text: str) -> None:
    assert violations(sample(text, "contracts/trialbook/domain/x.py"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("import random\nrandom.Random(7).choice([1])", "contracts/trialbook/domain/x.py"),
        ("def f(clock): return clock.now()", "contracts/trialbook/handle.py"),
        ("import time\ntime.monotonic()", "contracts/trialbook/log/nats.py"),
        ("import random\nrandom.random()", "contracts/trialbook/client/transport.py"),
    ],
)
def test_what_replays_or_waits_is_allowed(text: str, path: str) -> None:
    assert not violations(sample(text, path))
