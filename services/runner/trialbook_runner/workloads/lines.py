"""The line protocol: how a program in any language reports to its run, by lines on its standard output or error.

A line that starts with ``::trialbook `` and goes on with a JSON object of one of these types is a report::

    ::trialbook {"type": "progress", "done": 3, "total": 10, "unit": "epochs", "message": "training"}
    ::trialbook {"type": "metric", "name": "loss", "value": 0.25, "index": 3, "unit": "nat"}
    ::trialbook {"type": "row", "kind": "points", "index": 1, "data": {"x": 1.5}, "id": "p1"}
    ::trialbook {"type": "log", "message": "careful", "level": "warning", "logger": "parser", "data": {"line": 7}}
    ::trialbook {"type": "result", "value": {"accuracy": 0.9}}

Members that a type can do without are optional. The value of the last ``result`` line on standard output becomes the
``value`` of the run's result. Every other line, also one that is not valid, is logged as it is. Lines longer than
64 KiB are cut in pieces.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

PREFIX = b"::trialbook "
MAX_LINE_BYTES = 64 * 1024


class Progress(msgspec.Struct, tag="progress", forbid_unknown_fields=True):
    """How far the program is."""

    done: float
    total: float = 0.0
    unit: str = ""
    message: str = ""

    def emit(self, context: Any, _logger: str) -> None:
        """Pass it on."""
        context.progress(self.done, self.total, unit=self.unit, message=self.message)


class Metric(msgspec.Struct, tag="metric", forbid_unknown_fields=True):
    """A measurement; a ``value`` of null is one that is not a number."""

    name: str
    value: float | None
    index: int = 0
    unit: str = ""

    def emit(self, context: Any, _logger: str) -> None:
        """Pass it on."""
        value = float("nan") if self.value is None else self.value
        context.metric(self.name, value, index=self.index, unit=self.unit)


class Row(msgspec.Struct, tag="row", forbid_unknown_fields=True):
    """A table row."""

    kind: str
    index: int
    data: Any = None
    id: str = ""

    def emit(self, context: Any, _logger: str) -> None:
        """Pass it on."""
        context.row(self.kind, self.index, self.data, row_id=self.id)


class Log(msgspec.Struct, tag="log", forbid_unknown_fields=True):
    """A log line with more than its text."""

    message: str
    level: Literal["debug", "info", "warning", "error"] = "info"
    logger: str = ""
    data: Any = None

    def emit(self, context: Any, logger: str) -> None:
        """Pass it on."""
        context.log(self.message, level=self.level, logger=self.logger or logger, data=self.data)


class Result(msgspec.Struct, tag="result", forbid_unknown_fields=True):
    """What the program found out."""

    value: Any = None


Line = Progress | Metric | Row | Log
_decode = msgspec.json.Decoder(Progress | Metric | Row | Log | Result).decode


def parse_line(line: bytes) -> Line | Result | None:
    """The report that a line is; None when it is an ordinary line."""
    if not line.startswith(PREFIX):
        return None
    try:
        said: Line | Result = _decode(line[len(PREFIX) :])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return said
