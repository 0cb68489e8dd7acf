"""Signals: what a running attempt reports. One message carries a list of records of one kind.

A message is a CloudEvent of type ``run.<kind>.v1`` whose ``data`` is ``{"attempt": n, "records": [...]}``. Times are
Unix microseconds (UTC). A record's position in the whole stream is its *cursor*: ``stream sequence << 16 | index in
the message``; it orders all records of a run and never repeats.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trialbook.envelope import OptionalRaw

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
MAX_RECORDS = 1 << 16
CHUNK_RECORDS = 512
CHUNK_BYTES = 64 * 1024
FLUSH_S = 0.02


class Log(msgspec.Struct, frozen=True, omit_defaults=True):
    """One log line. ``logger`` names who speaks (an agent, a stream); ``data`` is any JSON."""

    time: int
    level: str = "info"
    message: str | None = None
    logger: str | None = None
    step: str | None = None
    data: OptionalRaw = None


class Metric(msgspec.Struct, frozen=True, omit_defaults=True):
    """One measurement: ``index`` is the workload's own x axis (step, epoch); ``unit`` is free text. NaN is ``null``."""

    time: int
    name: str
    value: float | None
    index: int = 0
    unit: str = ""
    step: str | None = None


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far: ``done`` of ``total`` (0: unknown) in ``unit``."""

    time: int
    done: float
    total: float = 0.0
    unit: str = ""
    message: str = ""
    step: str | None = None


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of a table that the workload builds: ``kind`` names the table, ``index`` counts its rows from 1."""

    time: int
    kind: str
    index: int
    data: msgspec.Raw
    id: str = ""


class Logs(msgspec.Struct, frozen=True):
    """Data of ``run.log.v1``."""

    attempt: int
    records: list[Log]


class Metrics(msgspec.Struct, frozen=True):
    """Data of ``run.metric.v1``."""

    attempt: int
    records: list[Metric]


class Progresses(msgspec.Struct, frozen=True):
    """Data of ``run.progress.v1``."""

    attempt: int
    records: list[Progress]


class Rows(msgspec.Struct, frozen=True):
    """Data of ``run.record.v1``."""

    attempt: int
    records: list[Row]


SIGNAL_TYPES: dict[str, type[Any]] = {
    "run.log.v1": Logs,
    "run.metric.v1": Metrics,
    "run.progress.v1": Progresses,
    "run.record.v1": Rows,
}


def cursor(sequence: int, index: int) -> int:
    """The position of a record; also valid as "everything of message ``sequence``" with ``index`` 65535."""
    return sequence << 16 | index
