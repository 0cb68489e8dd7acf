"""Tables that helpers have folded part by part are those that are folded one fact after the other."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from tests.projector.support import Book, Ledger, Stack
from tests.projector.test_bulk import cut, fill
from tests.projector.test_writer import poison
from trialbook import subjects
from trialbook.codec import encode, event_of
from trialbook.domain.run import RunSpec
from trialbook.domain.run import events as e
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Unavailable
from trialbook.ledger.storage import LocalStorage
from trialbook.log.tail import Message
from trialbook.vault.ring import KeyRing
from trialbook_projector import build, parts
from trialbook_projector.tables import hashes
from trialbook_projector.tables.bulk import Bulk
from trialbook_projector.tables.part import Folded, PartFold, Unfit
from trialbook_projector.tables.store import Limits, Positions, open_store
from trialbook_projector.tables.writer import UNSTORABLE, Capacity


def folded(messages: list[Message], chance: random.Random) -> Folded:
    part = PartFold(messages[0].sequence - 1)
    for batch in cut(messages, chance):
        part.add(batch)
    return msgspec.msgpack.decode(msgspec.msgpack.encode(part.folded()), type=Folded)


@pytest.mark.parametrize("size", [1, 7, 30, 10_000])
def test_parts_give_the_same_tables(tmp_path: Path, ledger: Ledger, size: int) -> None:
    chance = random.Random(size)
    fill(ledger, chance, [])
    live = Book(tmp_path / "live.duckdb", Capacity())
    live.apply(ledger)
    book = Book(tmp_path / "parts.duckdb", Capacity())
    with Bulk(book.writer, 50) as bulk:
        for start in range(0, len(ledger.facts), size):
            part = folded(ledger.facts[start : start + size], chance)
            bulk.put_folded(part, part.messages())
        bulk.settle()
        bulk.put((), ledger.signals)
    assert hashes.of_tables(book.store.cursor()) == hashes.of_tables(live.store.cursor())
    assert book.store.positions() == live.store.positions()


@pytest.mark.parametrize("bad", poison())
def test_poison_is_never_written(book: Book, ledger: Ledger, bad: tuple[str, bytes]) -> None:
    ledger.run()
    ledger.raw_fact(*bad)
    try:
        part = folded(ledger.facts, random.Random(1))
        with Bulk(book.writer) as bulk:
            bulk.put_folded(part, part.messages())
    except (Unfit, *UNSTORABLE):
        assert book.store.positions().facts == 0
    else:
        assert book.writer.parked == 1


def test_a_part_with_a_gap_is_unfit(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.run()
    with pytest.raises(Unfit):
        PartFold(0).add([ledger.facts[0], ledger.facts[2]])


def test_what_follows_a_sealed_fact_is_left_to_who_has_the_keys(ledger: Ledger) -> None:
    run = ledger.run()
    meta = Metadata(source="test")
    sealed = event_of(
        AggregateId("main", "run", run), e.Started(attempt=1, runner="r"), meta, ledger.ids, ledger.clock, "k"
    )
    ledger.raw_fact(subjects.fact(AggregateId("main", "run", run), sealed.type), encode(sealed))
    ledger.fact("run", run, e.Completed(attempt=1))
    ledger.run()
    part = folded(ledger.facts, random.Random(1))
    assert [m.sequence for m in part.messages()] == [2, 3]
    assert {name: table.num_rows for name, table in part.tables().items()} == {"facts": 2, "runs": 2}


@pytest.mark.integration
@pytest.mark.parametrize("unusual", ["poison", "twice", "unstorable"])
async def test_helpers_build_the_same_file(
    stack: Stack, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unusual: str
) -> None:
    fill(ledger, random.Random(2), poison() if unusual == "poison" else [])
    if unusual == "twice":
        first = next(m for m in ledger.facts if ".submitted" in m.subject)
        ledger.raw_fact(first.subject, first.data)
    if unusual == "unstorable":
        late = event_of(
            AggregateId("main", "run", "f" * 32), e.Submitted(spec=RunSpec(workload="noop"), ticket="t"),
            Metadata(source="test"), ledger.ids, ledger.clock,
        )  # fmt: skip
        wrong = msgspec.structs.replace(late, time="no time")
        ledger.raw_fact(subjects.fact(AggregateId("main", "run", "f" * 32), late.type), encode(wrong))
    facts, signals = await stack.publish(ledger)
    monkeypatch.setattr(parts, "PART_FACTS", 9)
    found = {}
    for name, least in (("plain", 10**9), ("parts", 1)):
        monkeypatch.setattr(build, "LEAST_FACTS", least)
        path = tmp_path / f"{name}.duckdb"
        storage = LocalStorage(tmp_path / "segments")
        url = stack.service.environment["TRIALBOOK_NATS_URL"]
        limits = Limits(memory_mb=256, threads=1)
        await build.build(stack.nc, url, path, limits, Positions(facts, signals), KeyRing(stack.nc, None), storage)
        store = open_store(path, limits)
        found[name] = hashes.of_tables(store.cursor()), store.positions()
        store.close()
    assert found["plain"] == found["parts"]
    assert found["plain"][1] == Positions(facts, signals)
    assert found["plain"][0]["runs"].rows > 5


@pytest.mark.integration
@pytest.mark.parametrize("least", [10**9, 1])
async def test_a_reading_that_ends_early_is_no_file(
    stack: Stack, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    fill(ledger, random.Random(3), [])
    facts, signals = await stack.publish(ledger)
    monkeypatch.setattr(parts, "PART_FACTS", 9)
    monkeypatch.setattr(build, "LEAST_FACTS", least)
    url, to = stack.service.environment["TRIALBOOK_NATS_URL"], Positions(facts + 4, signals)
    keys, storage = KeyRing(stack.nc, None), LocalStorage(tmp_path / "segments")
    with pytest.raises(Unavailable, match=f"read up to {facts} instead of {facts + 4}"):
        await build.build(stack.nc, url, tmp_path / "short.duckdb", Limits(memory_mb=256, threads=1), to, keys, storage)
