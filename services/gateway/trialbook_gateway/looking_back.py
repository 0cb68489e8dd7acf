"""Time travel: a run as it was at a ledger sequence or at a time, folded from its facts."""

from __future__ import annotations

from trialbook.aggregates import RUN
from trialbook.codec import fact_of
from trialbook.envelope import Recorded
from trialbook.errors import NotFound
from trialbook.times import parse_time, rfc3339
from trialbook.views import RunView, run_view
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.schemas.base import SEQUENCE_MAX
from trialbook_gateway.services import Caller, Services


async def _until(services: Services, records: list[Recorded], as_of: str) -> list[Recorded]:
    if as_of.isascii() and as_of.isdigit():
        sequence = int(as_of)
        if sequence > SEQUENCE_MAX:
            raise HttpRefusal(422, "invalid_sequence", "as_of is not a ledger sequence.")
        await services.ask.must_exist(sequence)
        return [r for r in records if r.sequence <= sequence]
    moment = rfc3339(parse_time(as_of))
    return [r for r in records if r.event.time <= moment]


async def run_as_of(services: Services, caller: Caller, run: str, as_of: str) -> RunView:
    """The view at ``as_of``. Raises ``NotFound`` when there was no run then, ``Invalid`` for an unreadable time and for
    a sequence that does not exist yet.
    """
    records = await _until(services, await services.log.read(caller.aggregate("run", run)), as_of)
    if not records:
        raise NotFound("run_not_found", f"There was no such run at {as_of}.")
    state = RUN.decider.fold((fact_of(r.event), r.event.time) for r in records)
    if state.deleted:
        raise NotFound("run_not_found", f"The run was deleted before {as_of}.")
    return run_view(caller.workspace, run, state, records[-1].sequence)
