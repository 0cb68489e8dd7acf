"""The order of a replay: the original's, to be executed with its recorded effects only."""

from __future__ import annotations

import msgspec

from trialbook.domain.run.spec import Retry, RunSpec
from trialbook.domain.run.state import RunState
from trialbook.errors import Conflict, NotFound


def replay_of(run: str, state: RunState) -> RunSpec:
    """The original's order without what must be unique or belongs to its dialect.

    Raises ``NotFound``, ``Conflict`` (code ``run_not_replayable``).
    """
    if state.status == "none" or state.deleted:
        raise NotFound("run_not_found", "There is no such run.")
    if state.status not in ("completed", "failed"):
        raise Conflict(
            "run_not_replayable", f"The run is {state.status}; what completed or failed can be replayed.",
            status=state.status,
        )  # fmt: skip
    order = state.order
    if order.replay_of is not None:
        raise Conflict("run_not_replayable", f"The run is itself a replay; replay its original {order.replay_of}.")
    inline = order.isolation == "inline"
    return msgspec.structs.replace(
        order, name=None, title=f"Replay of {order.name or order.title or run}"[:500], retry=Retry(), parent=None,
        lane="", dialect="native", extra={"replay_of": run}, replay_of=run,
        # Inline runs leave no room for a comparison between their end and its fact.
        isolation="process" if inline else order.isolation, pool="default" if inline else order.pool,
    )  # fmt: skip
