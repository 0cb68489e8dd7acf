"""Tables beside tables: kept, listed, swapped in, rolled back to, and compared row by row."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from tests.projector.support import PATIENCE_S, Ledger, Stack
from tests.projector.test_service import identical, story
from trialbook import subjects
from trialbook.queries import Answer, RunGet, RunList, RunLogs
from trialbook_projector import versions
from trialbook_projector.tables.store import CURRENT, Positions

pytestmark = pytest.mark.integration


async def order(stack: Stack, **what: Any) -> dict[str, Any]:
    """A control request; its report, or the refusal's code under ``refused``."""
    reply = await stack.nc.request(subjects.ask("_", subjects.REBUILD), msgspec.json.encode(what), timeout=PATIENCE_S)
    answer = msgspec.json.decode(reply.data, type=Answer)
    if answer.error is not None:
        return {"refused": answer.error["code"]}
    report: dict[str, Any] = msgspec.json.decode(answer.result or b"")
    return report


def files(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["file"], one["kind"]) for one in report["versions"]]


async def told(stack: Stack, ledger: Ledger, runs: int = 20) -> tuple[int, int]:
    chance = random.Random(3)
    for _ in range(runs):
        story(ledger, chance)
    positions = await stack.publish(ledger)
    await stack.ready(*positions)
    return positions


class Readers:
    """Ask without a pause from four sides; every answer must be right."""

    def __init__(self, stack: Stack, known: str) -> None:
        self.stack, self.known, self.reads = stack, known, 0
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Readers:
        self._tasks = [asyncio.create_task(self._read()) for _ in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _read(self) -> None:
        while not self._stop.is_set():
            for query in (RunGet(name="known"), RunGet(id=self.known), RunList(limit=10), RunLogs(id=self.known),
                          RunList(limit=10, as_of="5")):  # fmt: skip
                answer = await self.stack.ask.ask("main", query)
                assert answer.result
                self.reads += 1


async def test_a_rollback_loses_nothing_and_no_read(stack: Stack, ledger: Ledger) -> None:
    known = ledger.run(name="known")
    ledger.logs(known, 30)
    await told(stack, ledger)
    assert (await order(stack, rollback=True))["refused"] == "version_not_found"
    async with Readers(stack, known) as readers:
        made = await order(stack)
        assert files(made) == [("trialbook.1.duckdb", "current"), ("trialbook.duckdb", "previous")]
        writing = asyncio.create_task(told(stack, ledger, 30))
        back = await order(stack, rollback=True)
        assert files(back) == [("trialbook.duckdb", "current"), ("trialbook.1.duckdb", "previous")]
        last = await writing
        again = await order(stack, rollback=True)
        assert files(again)[0] == ("trialbook.1.duckdb", "current")
    assert readers.reads >= 20, "each of the four asked everything once at least"
    await stack.ready(*last)
    assert await identical(stack)
    assert (stack.service.folder / CURRENT).read_text() == "trialbook.1.duckdb"
    assert await stack.service.terminate() == 0
    await stack.service.start()
    await stack.ready(*last)
    assert files(await order(stack, list=True)) == files(again), "also after a restart"


async def test_a_candidate_is_kept_and_swapped_in_later(stack: Stack, ledger: Ledger) -> None:
    await told(stack, ledger, 5)
    kept = await order(stack, keep=True)
    assert (kept["swapped"], kept["identical"]) == (False, True)
    assert files(kept) == [("trialbook.duckdb", "current"), ("trialbook.1.duckdb", "candidate")]
    positions = await told(stack, ledger, 5)
    assert (await order(stack, swap="7"))["refused"] == "version_not_found"
    assert (await order(stack, swap="1", check=True))["refused"] == "invalid_query"
    swapped = await order(stack, swap="1")
    assert files(swapped) == [("trialbook.1.duckdb", "current"), ("trialbook.duckdb", "previous")]
    assert swapped["versions"][0]["facts"] == positions[0]
    assert await identical(stack)


async def test_only_so_many_are_kept_and_none_of_another_schema(stack: Stack, ledger: Ledger) -> None:
    await told(stack, ledger, 3)
    for _ in range(2):
        report = await order(stack)
        await order(stack, keep=True)
        assert [kind for _, kind in files(report)].count("previous") == 1
    report = await order(stack, list=True)
    assert sorted(kind for _, kind in files(report)) == ["candidate", "current", "previous"]
    assert len(list(stack.service.folder.glob("trialbook*.duckdb"))) == 3
    previous = next(name for name, kind in files(report) if kind == "previous")
    beside = stack.service.folder / f"{previous}{versions.SUFFIX}"
    described = json.loads(beside.read_text()) | {"schema_version": 0}
    beside.write_text(json.dumps(described))
    assert (await order(stack, rollback=True))["refused"] == "version_of_another_schema"


@pytest.mark.slow
async def test_kill_9_while_building_and_swapping_leaves_a_sound_projector(stack: Stack, ledger: Ledger) -> None:
    chance = random.Random(11)
    positions = await told(stack, ledger)
    for what in ({}, {"keep": True}, {}, {"rollback": True}, {}):
        asking = asyncio.create_task(order(stack, **what))
        await asyncio.sleep(chance.random() * 1.2)
        await stack.service.kill()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await stack.service.start()
        await stack.ready(*positions)
        left = await order(stack, list=True)
        on_disk = sorted(path.name for path in stack.service.folder.glob("trialbook*.duckdb"))
        assert sorted(name for name, _ in files(left)) == on_disk, "nothing unfinished stays"
    assert await identical(stack)


@pytest.mark.parametrize(
    ("statement", "table", "key", "column"),
    [
        ("UPDATE book.facts SET actor = 'mallory' WHERE sequence = 7", "facts", "sequence", "actor"),
        ("DELETE FROM book.facts WHERE sequence = 9", "facts", "sequence", None),
        ("UPDATE book.runs SET status = 'failed' WHERE name = 'known'", "runs", "created", "status"),
        ("INSERT INTO book.logs SELECT * FROM book.logs LIMIT 1", "logs", "cursor", None),
    ],
)
async def test_a_check_says_what_was_tampered_with(
    stack: Stack, ledger: Ledger, statement: str, table: str, key: str, column: str | None
) -> None:
    known = ledger.run(name="known")
    ledger.logs(known, 10)
    await told(stack, ledger, 5)
    assert await stack.service.terminate() == 0
    path = stack.service.folder / "trialbook.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(statement)
    await stack.service.start()
    await stack.ready()
    code, output = await stack.service.command("rebuild", "--check")
    report = json.loads(output)
    assert (code, report["identical"]) == (2, False)
    assert [name for name, one in report["tables"].items() if not one["equal"]] == [table]
    first = report["tables"][table]["first"]
    assert first["key"] == key
    assert (column in first["columns"]) if column else (first["live_rows"] != first["rebuilt_rows"])
    if statement.startswith("UPDATE book.facts"):
        assert (first["value"], first["columns"]["actor"]) == (7, ["mallory", "alice"])


def test_an_erasure_removes_what_is_kept(tmp_path: Path) -> None:
    for number, facts in ((1, 10), (2, 30)):
        path = tmp_path / f"trialbook.{number}.duckdb"
        path.write_bytes(b"x")
        versions.describe(path, "previous", Positions(facts, 0), f"2026-01-0{number}T00:00:00.000000Z")
    (tmp_path / "trialbook.3.duckdb").write_bytes(b"broken off")
    assert versions.discard_older(tmp_path, 20) == ["trialbook.1.duckdb"]
    versions.tidy(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "trialbook.2.duckdb", f"trialbook.2.duckdb{versions.SUFFIX}",
    ]  # fmt: skip
