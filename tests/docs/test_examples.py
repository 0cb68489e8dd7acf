"""Blocks that are marked `tried` are executed; other Python in the pages at least compiles."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import pytest

from tests.docs.pages import Block, blocks
from trialbook import Failure, Workload
from trialbook.workload import request_digest
from trialbook_runner.workloads.lines import Result, parse_line
from trialbook_runner.workloads.pipeline import Params

TRIED = {block.code.strip().splitlines()[0]: block for block in blocks() if block.info.endswith(" tried")}
DICE = '"""Throw dice and watch the mean settle."""'


def block_of(info: str, beginning: str) -> Block:
    [found] = [b for b in blocks() if b.info == info and b.code.lstrip().startswith(beginning)]
    return found


@pytest.mark.parametrize("block", [b for b in blocks() if b.info.startswith("python")], ids=lambda b: b.page)
def test_python_compiles(block: Block) -> None:
    compile(block.code, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", [b for b in blocks() if b.info.startswith("json")], ids=lambda b: b.page)
def test_json_is_json(block: Block) -> None:
    assert msgspec.json.decode(block.code)


class Recording:
    """The few calls of a context that the sample makes, kept."""

    def __init__(self, checkpoint: Any = None) -> None:
        self.random, self.checkpoint_data = Random(7), checkpoint
        self.said: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.said.append((name, args))

    async def checkpoint(self, data: Any) -> None:
        self.said.append(("checkpoint", data))

    async def artifact(self, name: str, content: bytes) -> str:
        self.said.append(("artifact", name))
        return ""


def dice(patch: pytest.MonkeyPatch) -> Workload:
    module = ModuleType("dice_lab")
    patch.setitem(sys.modules, "dice_lab", module)  # where its annotations are looked up
    exec(compile(block_of("python tried", DICE).code, "dice_lab.py", "exec"), module.__dict__)
    found: Workload = module.dice
    return found


def test_the_dice_are_thrown_checkpointed_and_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = dice(monkeypatch)
    context = Recording()
    result = asyncio.run(workload.run(context, workload.parse({"rounds": 200})))
    assert 1 <= result["mean"] <= 6
    kinds = [kind for kind, _ in context.said]
    assert (kinds.count("row"), kinds.count("checkpoint"), kinds.count("artifact")) == (200, 2, 1)
    resumed = Recording({"round": 199, "total": 199 * 3})
    asyncio.run(workload.run(resumed, workload.parse({"rounds": 200})))
    assert [kind for kind, _ in resumed.said].count("row") == 1
    with pytest.raises(Failure, match="5 sides"):
        asyncio.run(workload.run(Recording(), workload.parse({"sides": 5})))


@pytest.mark.parametrize(
    ("info", "beginning", "program"), [("python tried", "import json", [sys.executable]), ("sh tried", "for i", ["sh"])]
)
def test_reports_of_programs_are_understood(info: str, beginning: str, program: list[str]) -> None:
    code = block_of(info, beginning).code
    output = subprocess.run([*program, "-c", code], capture_output=True, check=True, timeout=30).stdout
    lines = [line for line in output.splitlines() if line.startswith(b"::trialbook ")]
    assert len(lines) >= 5
    said = [parse_line(line) for line in lines]
    assert None not in said
    assert info.startswith("sh") or isinstance(said[-1], Result)


def test_the_pipeline_is_valid() -> None:
    params = msgspec.json.decode(block_of("json tried", "{").code, type=Params)
    assert params.needs == {"fetch": [], "sum": ["fetch"], "count": ["fetch"]}


class Shop(BaseHTTPRequestHandler):
    """Sells everything for the length of its name."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        item = self.path.partition("item=")[2]
        self.asked.append(item)
        body = msgspec.json.encode({"price": len(item)})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
        pass


class Remembering:
    """The part of a context that the example uses."""

    def __init__(self) -> None:
        self.recorded: dict[str, tuple[str, Any]] = {}

    async def effect(self, key: str, request: Any, call: Any, *, info: dict[str, Any]) -> Any:
        digest = request_digest(request)
        if self.recorded.get(key, ("",))[0] != digest:
            self.recorded[key] = (digest, await call())
        return self.recorded[key][1]


def test_prices_are_asked_for_once() -> None:
    module = ModuleType("prices")
    exec(compile(block_of("python tried", '"""Prices of things').code, "prices.py", "exec"), module.__dict__)
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context, params = Remembering(), {"shop": f"http://127.0.0.1:{server.server_port}", "items": ["tea", "rice"]}
        found = [asyncio.run(module.prices.run(context, params)) for _ in range(2)]
        server.shutdown()
    assert found == [{"tea": 3.0, "rice": 4.0}] * 2
    assert Shop.asked == ["tea", "rice"]


def test_all_tried_blocks_are_tried() -> None:
    assert len(TRIED) == 5, "a block was marked as tried that no test here executes"
