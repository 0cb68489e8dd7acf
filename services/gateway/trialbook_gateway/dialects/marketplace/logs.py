"""Log entries over REST, and the positions that both REST and WebSocket speak of."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

from trialbook.errors import Invalid
from trialbook.queries import LogPage, LogView, RunLogs
from trialbook.signals import MAX_RECORDS, cursor
from trialbook.times import parse_time, rfc3339
from trialbook_gateway.dialects.marketplace.errors import bad_request
from trialbook_gateway.dialects.marketplace.experiments import Experiment
from trialbook_gateway.services import Caller, Services
from trialbook_marketplace.rows import EXPERIMENT

_CURSOR = re.compile(r"c[0-9a-f]{1,16}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX = (1 << 63) - 1
_NOBODY = frozenset({EXPERIMENT, "stdout", "stderr"})
decode_page = msgspec.json.Decoder(LogPage).decode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The documented form of a log entry."""

    timestamp: str
    level: str
    message: str | None
    data: msgspec.Raw | None
    agent_id: str | None


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """The documented form of a page."""

    logs: list[Entry]
    total: int
    has_more: bool


def entry_of(line: LogView) -> Entry:
    """A stored line; the logger is the agent's id, except where the run itself speaks."""
    agent = None if line.logger in _NOBODY else line.logger
    return Entry(timestamp=line.time, level=line.level, message=line.message, data=line.data, agent_id=agent)


def cursor_text(position: int) -> str:
    """The opaque form of a position."""
    return f"c{position:x}"


def parse_cursor(text: str) -> int:
    """The position; an empty text is the start. Raises 400 with the documented text."""
    if not text:
        return 0
    position = int(text[1:], 16) if _CURSOR.fullmatch(text) else _MAX + 1
    if position > _MAX:
        raise bad_request(Invalid("invalid_cursor", f"Invalid cursor: {text}"))
    return position


def parse_since(text: str) -> int:
    """Unix microseconds, 0 for what is before them: no log is that old. Raises 400 with the documented text."""
    try:
        moment = parse_time(text)
    except Invalid:
        raise bad_request(Invalid("invalid_time", f"Invalid timestamp format: {text}")) from None
    return max(0, (moment - _EPOCH) // timedelta(microseconds=1))


def time_text(time_us: int) -> str:
    """Unix microseconds in the form of timestamps, so that text order is time order."""
    return rfc3339(_EPOCH + timedelta(microseconds=time_us))


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: of ``level`` or above, of one agent, with ``q`` in the message (in any case); empty: all."""

    level: str = ""
    agent_id: str = ""
    q: str = ""


EVERY = Filter()


async def read_page(
    services: Services,
    caller: Caller,
    experiment: Experiment,
    since: str | None,
    position: str | None,
    limit: int,
    only: Filter = EVERY,
) -> tuple[EntryPage, str]:
    """A page and the cursor after it. ``position`` goes before ``since``; without both: the newest entries."""
    after = None if position is None else parse_cursor(position)
    since_us = None if since is None else parse_since(since)
    query = RunLogs(
        id=experiment.id, after=after, since_us=since_us if after is None else None, limit=limit,
        level=only.level, logger=only.agent_id, contains=only.q, at_least=experiment.sequence,
        at_least_signals=experiment.signals,
    )  # fmt: skip
    answer = await services.ask.ask(caller.workspace, query, services.settings.ask_timeout_s)
    page = decode_page(answer.result or b"null")
    if page.items:
        end = page.items[-1].cursor
    elif after is not None:
        end = after
    else:
        # Nothing is newer among all that was applied: whatever is written from now on comes after this position.
        end = cursor(answer.signals, MAX_RECORDS - 1)
    entries = [entry_of(line) for line in page.items]
    return EntryPage(logs=entries, total=page.total, has_more=page.has_more), cursor_text(end)
