"""Tables written in bulk are those of the live path, whatever is in the streams and however little is remembered."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.projector.support import T0_US, Book, Ledger
from tests.projector.test_writer import life, poison
from trialbook.domain.run import events as e
from trialbook.log.tail import Message
from trialbook_projector.tables import hashes
from trialbook_projector.tables.bulk import Bulk
from trialbook_projector.tables.writer import Capacity

LITTLE = Capacity(runs=2, items=1, emitted=1)


def fill(ledger: Ledger, chance: random.Random, bad: list[tuple[str, bytes]]) -> None:
    """Lives of runs, interleaved with facts of earlier runs, signals of theirs, and poison of every kind."""
    runs = []
    for number in range(5):
        life(ledger, number)
        runs.append(ledger.run())
        for run in chance.sample(runs, min(3, len(runs))):
            ledger.fact("run", run, e.Started(attempt=number + 1, runner="r"))
            ledger.signal(run, "progress", [{"time": T0_US, "done": float(number)}])
            ledger.logs(run, chance.randint(1, 4))
        for _ in bad[:2]:
            ledger.raw_fact(*bad.pop())
        ledger.signal(runs[0], "metric", [{"time": T0_US, "name": "m", "value": 1.0, "index": 1 << (60 + number)}])


def in_bulk(book: Book, ledger: Ledger, chance: random.Random, transaction_rows: int) -> None:
    with Bulk(book.writer, transaction_rows) as bulk:
        for batch in cut(ledger.facts, chance):
            bulk.put(batch, ())
        for batch in cut(ledger.signals, chance):
            bulk.put((), batch)


def cut(messages: list[Message], chance: random.Random) -> Iterator[list[Message]]:
    at = 0
    while at < len(messages):
        size = chance.randint(1, 9)
        yield messages[at : at + size]
        at += size


@pytest.mark.parametrize("capacity", [Capacity(), LITTLE], ids=["much", "little"])
@pytest.mark.parametrize("transaction_rows", [1, 20, 100_000])
def test_bulk_gives_the_same_tables(tmp_path: Path, ledger: Ledger, capacity: Capacity, transaction_rows: int) -> None:
    chance = random.Random(transaction_rows)
    fill(ledger, chance, poison())
    live = Book(tmp_path / "live.duckdb", Capacity())
    live.apply(ledger, step=25)
    bulk = Book(tmp_path / "bulk.duckdb", capacity)
    in_bulk(bulk, ledger, chance, transaction_rows)
    assert hashes.of_tables(bulk.store.cursor()) == hashes.of_tables(live.store.cursor())
    assert bulk.writer.positions == live.writer.positions == bulk.store.positions()
    assert bulk.writer.parked == live.writer.parked > 15


def test_a_fault_in_the_block_leaves_whole_transactions(book: Book, ledger: Ledger) -> None:
    for _ in range(4):
        ledger.run()

    def broken() -> None:
        with Bulk(book.writer, 4) as bulk:
            bulk.put(ledger.facts[:2], ())
            bulk.put(ledger.facts[2:3], ())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert book.store.positions().facts == 2
