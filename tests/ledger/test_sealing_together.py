"""Two projectors never seal or purge at the same time: the second is told who does, and takes over from the dead."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from tests.ledger.test_sealing import Bench
from trialbook.errors import Conflict
from trialbook.log import purging
from trialbook.log.lease import Lease, Lost
from trialbook.log.purged import Boundary, boundary
from trialbook.tasks import ended
from trialbook.testing.server import NatsServer
from trialbook_projector.pump import Pump
from trialbook_projector.seal import Order, Sealer

pytestmark = pytest.mark.integration


@pytest.fixture
async def benches(nc: Client, server: NatsServer, tmp_path: Path) -> AsyncIterator[list[Bench]]:
    """Two projectors of one ledger, with one storage of segments."""
    made = [Bench(nc, server.url, tmp_path / name) for name in ("one", "two")]
    made[1].fragile = made[1].segments.storage = made[0].fragile
    for bench in made:
        await bench.log.start()
    pumps = [asyncio.create_task(Pump(nc, bench.live, bench.fragile).run()) for bench in made]
    yield made
    await ended(*pumps)
    for bench in made:
        await bench.log.close()
        await bench.live.close()


@pytest.fixture
def purge_now(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Nobody who has moved the boundary purges before this is set."""
    now, purge = asyncio.Event(), purging.purge

    async def later(*given: Any, **options: Any) -> int:
        await now.wait()
        return await purge(*given, **options)

    monkeypatch.setattr(purging, "purge", later)
    return now


def sealer(bench: Bench, *, grace_s: float = 0.0, lease_s: float = 60.0) -> Sealer:
    return Sealer(bench.nc, bench.live, bench.segments, bench.settings, grace_s=grace_s, lease_s=lease_s)


async def settled(benches: list[Bench]) -> int:
    """Until the tables of all have everything; the last sequence."""
    return max([await bench.settle() for bench in benches])


async def begun(bench: Bench) -> None:
    """Until the boundary has moved; a sealer that waits has not purged anything then."""
    async with asyncio.timeout(60):
        while not (await boundary(bench.nc)).sequence:
            await asyncio.sleep(0.01)


async def test_the_second_is_told_who_seals_and_since_when(benches: list[Bench]) -> None:
    for _ in range(3):
        await benches[0].finished()
    last = str(await settled(benches) + 1)
    first = asyncio.create_task(sealer(benches[0], grace_s=3600).seal(Order(before=last)))
    await begun(benches[0])
    with pytest.raises(Conflict) as refused:
        await sealer(benches[1]).seal(Order(before=last))
    assert refused.value.code == "seal_running"
    holder = (benches[0].settings.data_dir / "projector.id").read_text().strip()
    assert refused.value.extra["holder"] == holder
    assert holder in refused.value.detail
    assert refused.value.extra["since"] in refused.value.detail
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await sealer(benches[1]).seal(Order(before=last))).purged == 6  # given back, and not expired


async def test_of_many_at_once_one_seals(benches: list[Bench], purge_now: asyncio.Event) -> None:
    for _ in range(3):
        await benches[0].finished()
    last = str(await settled(benches) + 1)
    tries = [asyncio.create_task(sealer(bench).seal(Order(before=last))) for bench in benches]
    await asyncio.wait(tries, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    purge_now.set()
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    reports = [one for one in outcomes if not isinstance(one, BaseException)]
    assert [report.purged for report in reports] == [6]
    assert [one.code for one in outcomes if isinstance(one, Conflict)] == ["seal_running"]


async def test_a_killed_sealer_is_forgotten_and_a_revived_one_does_no_more(benches: list[Bench]) -> None:
    await benches[0].finished()
    last = await settled(benches)

    def suspended(lease_s: float) -> Lease:
        return Lease(benches[0].nc, "seal", "suspended", "The suspended one", lease_s=lease_s)

    await suspended(3600)._take()
    with pytest.raises(Conflict):
        await sealer(benches[1]).seal(Order(before=str(last + 1)))
    revived = suspended(0.5)
    await revived._take()  # and no renewal
    purged, refusals = 0, []
    async with asyncio.timeout(60):
        while not purged:
            try:
                purged = (await sealer(benches[1]).seal(Order(before=str(last + 1)))).purged
            except Conflict as refused:
                refusals.append(refused.extra["holder"])
                await asyncio.sleep(0.1)
    assert purged == 2
    assert set(refusals) <= {"suspended"}
    with pytest.raises(Lost):
        await revived.still()


async def test_who_comes_back_with_its_own_id_waits_for_nobody(benches: list[Bench]) -> None:
    await benches[0].finished()
    last = await benches[0].settle()
    dead = sealer(benches[0], lease_s=3600)._lease
    await dead._take()
    assert (await sealer(benches[0]).seal(Order(before=str(last + 1)))).purged == 2


async def test_a_sealer_that_has_lost_its_lease_moves_and_purges_nothing(
    benches: list[Bench], purge_now: asyncio.Event
) -> None:
    await benches[0].finished()
    last = await benches[0].settle()
    slow = sealer(benches[0], lease_s=3600)
    sealing = asyncio.create_task(slow.seal(Order(before=str(last + 1))))
    await begun(benches[0])
    thief = Lease(benches[0].nc, "seal", "thief", "The thief")
    thief._sequence = slow._lease._sequence
    await thief.still()
    purge_now.set()
    with pytest.raises(Conflict) as refused:
        await sealing
    assert refused.value.code == "seal_lost"
    assert len(await benches[0].left()) == 3


async def test_the_boundary_never_moves_back(benches: list[Bench], nc: Client) -> None:
    await benches[0].finished()
    await benches[0].seal()
    known = await boundary(nc)
    with pytest.raises(Conflict):
        await purging.record_boundary(nc, Boundary(known.sequence - 1, "x"))
    assert await boundary(nc) == known
    assert msgspec.structs.astuple(known)[0] == 3
