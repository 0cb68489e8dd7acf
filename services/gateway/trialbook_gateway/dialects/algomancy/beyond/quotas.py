"""What one session may hold, where a deployment limits it; 0 means no limit.

Asked before something is added: requests at the same moment may each be the last one that fits.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trialbook.answers import Page
from trialbook.queries import RunList
from trialbook_gateway.dialects.algomancy.errors import conflict
from trialbook_gateway.dialects.algomancy.loads import Made
from trialbook_gateway.dialects.algomancy.parts import Room
from trialbook_gateway.dialects.algomancy.shape import SCENARIO
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.reading import seen_in

_page = msgspec.json.Decoder(Page).decode


async def check_scenarios(room: Room, more: int = 1) -> None:
    """Raises 409 when a session would have too many scenarios."""
    limit = room.parts.settings.max_scenarios
    if not limit:
        return
    query = RunList(
        workload=SCENARIO, dialect=SCENARIO, limit=1, count=True, brief=True,
        at_least=seen_in(room.services, room.caller, 0),
    )  # fmt: skip
    answer = await room.services.ask.ask(room.caller.workspace, query, room.services.settings.ask_timeout_s)
    found = _page(answer.result or b"{}").total or 0
    if found + more > limit:
        raise conflict(f"A session may have {limit} scenarios; this one has {found}. Delete some first.")


async def check_datasets(room: Room, names: Sequence[str]) -> None:
    """Raises 409 when a session would have too many datasets."""
    limit = room.parts.settings.max_datasets
    if not limit:
        return
    keys = await room.parts.datasets.keys(room.caller.workspace)
    if len({*keys, *names}) > max(limit, len(keys)):
        raise conflict(f"A session may have {limit} datasets; this one has {len(keys)}. Delete some first.")


def check_rows(room: Room, made: Made) -> None:
    """Raises 413 for a dataset of too many rows."""
    limit = room.parts.settings.max_rows
    if limit and made.rows > limit:
        name = made.metadata.name
        text = f"A dataset may have {limit} rows in all its tables; '{name}' has {made.rows}."
        raise HttpRefusal(413, "too_many_rows", text)
