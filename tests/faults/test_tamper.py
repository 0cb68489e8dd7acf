"""Somebody edits the files of the stopped server: whatever it is, it is seen at the next start, by its sequence."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.tampering import FOLDER, build, copied, look, publish, records, stop
from trialbook.proofs import LedgerInfo
from trialbook.testing.server import NatsServer

pytestmark = pytest.mark.integration
COUNT, VICTIM = 300, 150
BLOCK = "1.blk"
LARGE, LARGE_BYTES = 4500, 4096
"""Three blocks of 8 MiB."""
PLACES = (
    "length", "high length", "sequence", "high sequence", "time", "subject length", "subject", "headers length",
    "headers", "payload", "end of payload", "hash",
)  # fmt: skip
BITS = (0x01, 0x80)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    asyncio.run(build(folder, COUNT, 100, unsigned=20))
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    asyncio.run(build(folder, LARGE, LARGE_BYTES))
    return folder


def _named(info: LedgerInfo) -> set[int]:
    """Every sequence that a finding names."""
    return {n for one in info.findings for n in (*range(one.sequence, max(one.sequence, one.until) + 1), one.at)}


def _flip(folder: Path, offset: int, bit: int, block: str = BLOCK) -> None:
    path = folder / FOLDER / block
    content = bytearray(path.read_bytes())
    content[offset] ^= bit
    path.write_bytes(content)


async def test_what_nobody_touched_is_verified(template: Path, tmp_path: Path) -> None:
    info = await look(copied(template, tmp_path / "data"))
    assert (info.state, info.checked, info.findings) == ("verified", COUNT, [])


@pytest.mark.parametrize("victim", [pytest.param(1, marks=pytest.mark.slow), VICTIM, COUNT - 10, COUNT])
@pytest.mark.parametrize("place", PLACES)
async def test_every_flipped_byte_is_seen(template: Path, tmp_path: Path, place: str, victim: int) -> None:
    for bit in BITS if victim == VICTIM else BITS[:1]:
        folder = copied(template, tmp_path / f"data{bit}")
        block = (folder / FOLDER / BLOCK).read_bytes()
        _flip(folder, records(block)[victim - 1].places(block)[place], bit)
        info = await look(folder)
        assert info.state == "damaged", f"{place} of fact {victim}, bit {bit:#x}"
        assert victim in _named(info), [finding.text for finding in info.findings]


@pytest.mark.parametrize("without_index", [False, True])
async def test_swapped_records_are_seen(template: Path, tmp_path: Path, *, without_index: bool) -> None:
    folder = copied(template, tmp_path / "data")
    path = folder / FOLDER / BLOCK
    block = path.read_bytes()
    one, other = records(block)[VICTIM - 1 : VICTIM + 1]
    path.write_bytes(
        block[: one.offset] + block[other.offset : other.end] + block[one.offset : one.end] + block[other.end :]
    )
    if without_index:
        (folder / FOLDER / "index.db").unlink()
    info = await look(folder)
    assert info.state == "damaged"
    assert _named(info) & {VICTIM, VICTIM + 1}


@pytest.mark.parametrize("torn", [0, 30])
@pytest.mark.parametrize("without_index", [False, True])
@pytest.mark.parametrize("cut", [1, 5, 100])
async def test_a_cut_end_is_seen(template: Path, tmp_path: Path, cut: int, torn: int, *, without_index: bool) -> None:
    folder = copied(template, tmp_path / "data")
    path = folder / FOLDER / BLOCK
    block = path.read_bytes()
    path.write_bytes(block[: records(block)[-cut].offset + torn])
    if without_index:
        (folder / FOLDER / "index.db").unlink()
    info = await look(folder)
    assert info.state == "damaged"
    assert _named(info) >= set(range(COUNT - cut + 1, COUNT + 1))


async def test_a_server_that_makes_its_index_anew_is_intact(template: Path, tmp_path: Path) -> None:
    """Not every change does harm: the index is derived from the blocks, and the facts are what they were."""
    folder = copied(template, tmp_path / "data")
    (folder / FOLDER / "index.db").unlink()
    assert (await look(folder)).state == "verified"


@pytest.mark.parametrize("block", [1, 2, 3])
async def test_a_deleted_block_is_seen(large: Path, tmp_path: Path, block: int) -> None:
    folder = copied(large, tmp_path / "data")
    path = folder / FOLDER / f"{block}.blk"
    before = sum(len(records((folder / FOLDER / f"{n}.blk").read_bytes())) for n in range(1, block))
    gone = len(records(path.read_bytes()))
    path.unlink()
    info = await look(folder)
    assert info.state == "damaged"
    assert _named(info) - {0} == set(range(before + 1, before + gone + 1))


@pytest.mark.parametrize("block", [1, 2])
async def test_a_flipped_byte_in_an_earlier_block_is_seen(large: Path, tmp_path: Path, block: int) -> None:
    folder = copied(large, tmp_path / "data")
    content = (folder / FOLDER / f"{block}.blk").read_bytes()
    before = sum(len(records((folder / FOLDER / f"{n}.blk").read_bytes())) for n in range(1, block))
    victim = records(content)[700]
    _flip(folder, victim.places(content)["payload"], 0x10, f"{block}.blk")
    info = await look(folder)
    assert (info.state, _named(info) - {0}) == ("damaged", {before + 701})


Forge = Callable[[Path, Path], None]


def _whole_store(folder: Path, forged: Path) -> None:
    shutil.rmtree(folder / FOLDER)
    shutil.copytree(forged / FOLDER, folder / FOLDER)


def _one_record(folder: Path, forged: Path) -> None:
    """A record with its right hash, in place of the one that was there: the hash is keyed with the stream's name."""
    path = folder / FOLDER / BLOCK
    block, other = path.read_bytes(), (forged / FOLDER / BLOCK).read_bytes()
    here, there = records(block)[VICTIM - 1], records(other)[VICTIM - 1]
    path.write_bytes(block[: here.offset] + other[there.offset : there.end] + block[here.end :])


@pytest.mark.parametrize("forge", [_whole_store, _one_record])
@pytest.mark.parametrize("without_tiles", [False, True])
async def test_a_perfect_forgery_is_seen(template: Path, tmp_path: Path, forge: Forge, *, without_tiles: bool) -> None:
    """A second server wrote another fact, so every record and index of it is right. With the hashes deleted as well,
    what was signed still tells, though only up to which checkpoint the facts hold.
    """
    forged = tmp_path / "forged"
    server = NatsServer(forged / "nats").start()
    await publish(server.url, COUNT, 100, changed=VICTIM)
    stop(server)
    folder = copied(template, tmp_path / "data")
    forge(folder, forged)
    if without_tiles:
        for path in (folder / "ledger").iterdir():
            path.unlink()
    info = await look(folder)
    assert info.state == "damaged"
    if without_tiles:
        assert VICTIM in _named(info)
    else:
        assert [finding.text for finding in info.findings] == [f"changed {VICTIM}"]


async def test_a_shorter_store_is_seen_without_hashes_too(template: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    server = NatsServer(forged / "nats").start()
    await publish(server.url, COUNT - 50, 100)
    stop(server)
    folder = copied(template, tmp_path / "data")
    _whole_store(folder, forged)
    shutil.rmtree(folder / "ledger")
    info = await look(folder)
    assert info.state == "damaged"
    assert _named(info) >= set(range(COUNT - 49, COUNT - 19))  # the last twenty were not signed


async def test_damaged_hashes_are_made_again_from_facts_that_hold(template: Path, tmp_path: Path) -> None:
    folder = copied(template, tmp_path / "data")
    path = folder / "ledger" / "level-0"
    content = bytearray(path.read_bytes())
    content[(VICTIM - 1) * 32] ^= 1
    path.write_bytes(content)
    assert (await look(folder)).state == "verified"
    assert path.read_bytes() == (template / "ledger" / "level-0").read_bytes()


async def test_damaged_inner_hashes_are_made_again(template: Path, tmp_path: Path) -> None:
    folder = copied(template, tmp_path / "data")
    path = folder / "ledger" / "level-1"
    path.write_bytes(bytes(32))
    assert (await look(folder)).state == "verified"
    assert path.read_bytes() == (template / "ledger" / "level-1").read_bytes()


async def test_a_torn_end_of_the_hashes_is_written_again(template: Path, tmp_path: Path) -> None:
    folder = copied(template, tmp_path / "data")
    (folder / "ledger" / "size").write_text("200\n")
    with (folder / "ledger" / "level-0").open("ab") as file:
        file.write(b"torn")
    assert (await look(folder)).state == "verified"
    assert (folder / "ledger" / "level-0").read_bytes() == (template / "ledger" / "level-0").read_bytes()


async def test_lost_checkpoints_are_seen(template: Path, tmp_path: Path) -> None:
    folder = copied(template, tmp_path / "data")
    shutil.rmtree(folder / FOLDER.parents[1] / "CHECKPOINTS")
    info = await look(folder)
    assert info.state == "damaged"
    assert {finding.kind for finding in info.findings} == {"checkpoint"}
