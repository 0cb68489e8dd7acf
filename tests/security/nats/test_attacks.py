"""Every attack is refused, and leaves the ledger as it was: on `trialbook up`'s server and on the sample's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.security.nats.attacks.all import ATTACKS
from tests.security.nats.world import MINE, THEIRS, World, command, embedded_world, heard_enough, sample_world

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]
MODES = {"up": embedded_world, "sample": sample_world}
RUNS = ("FACTS", "BLOBS")  # a runner stores what it executes in
VICTIM_ACTS = {"hear": RUNS, "steal": RUNS, "anonymous": RUNS, "acknowledge": ("consumer",)}
"""What the victim itself changes during attacks of these kinds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES)
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory: Path = tmp_path_factory.mktemp(request.param)
    async with MODES[request.param](directory) as made:
        yield made


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_refused(world: World, name: str) -> None:
    before = await world.ledger()
    assert await ATTACKS[name](world) == ""
    after = await world.ledger()
    for ours in VICTIM_ACTS.get(name.partition("_")[0], ()):
        before.pop(ours)
        after.pop(ours)
    assert after == before
    for one in (world.intruder, world.victim, world.reader):
        assert one.nc.is_connected


async def test_all_of_it_works_for_those_who_may(world: World) -> None:
    """The attacks mean something only while the same ways are open to their owners."""
    async with world.intruder.listening(f"tap.fact.{MINE}.>") as heard:
        done = await command(world.intruder, MINE, "run.submit", {"workload": "noop"})
        assert done["result"]["status"] == "queued"
        await heard_enough(heard, 2)
    assert [message.subject.split(".")[5] for message in heard] == ["submitted", "completed"]
    assert b'"items"' in await world.intruder.ask(f"ask.{MINE}.run.list")
    assert (await command(world.reader, MINE, "consumer.list", {}))["result"] == []
    assert (await command(world.victim, THEIRS, "consumer.list", {}))["result"][0]["consumer"] == "victor@main"


async def test_there_are_enough_of_them() -> None:
    assert len(ATTACKS) >= 40
