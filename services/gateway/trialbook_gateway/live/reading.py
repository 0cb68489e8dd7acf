"""From NATS messages and projector rows to items."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trialbook.codec import fact_of
from trialbook.domain.run import events as e
from trialbook.envelope import Event
from trialbook.queries import LogView, MetricPoint
from trialbook.signals import LEVELS, Logs, Metrics, Progresses, cursor
from trialbook.times import rfc3339
from trialbook_gateway.live.items import FactView, Item, ProgressView, Status

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RANKS: dict[str, int] = {level: rank for rank, level in enumerate(LEVELS)}
STATUSES: dict[str, str] = {
    e.Created.TYPE: "created", e.Submitted.TYPE: "queued", e.Queued.TYPE: "queued", e.Started.TYPE: "running",
    e.AttemptLost.TYPE: "queued", e.AttemptFailed.TYPE: "queued", e.Paused.TYPE: "paused",
    e.Completed.TYPE: "completed", e.Failed.TYPE: "failed", e.Cancelled.TYPE: "cancelled", e.Deleted.TYPE: "deleted",
}  # fmt: skip
VERDICTS = frozenset({e.Completed.TYPE, e.Failed.TYPE, e.Cancelled.TYPE, e.Deleted.TYPE})


class _LogMessage(msgspec.Struct):
    data: Logs


class _MetricMessage(msgspec.Struct):
    data: Metrics


class _ProgressMessage(msgspec.Struct):
    data: Progresses


class _Head(msgspec.Struct):
    attempt: int


class _HeadMessage(msgspec.Struct):
    data: _Head


class VerdictData(msgspec.Struct):
    """What every verdict may say."""

    attempt: int = 0
    signal_sequence: int = 0
    error: dict[str, Any] | None = None


_logs = msgspec.json.Decoder(_LogMessage).decode
_metrics = msgspec.json.Decoder(_MetricMessage).decode
_progresses = msgspec.json.Decoder(_ProgressMessage).decode
attempt_of = msgspec.json.Decoder(_HeadMessage).decode
_verdict = msgspec.json.Decoder(VerdictData).decode


def text_of(time_us: int) -> str:
    """Unix microseconds as RFC 3339 UTC."""
    return rfc3339(EPOCH + timedelta(microseconds=time_us))


def log_item(view: LogView) -> Item:
    """A stored line as an item."""
    return Item("log", view, signals=view.cursor, time=view.time, level=RANKS.get(view.level, len(LEVELS)))


def metric_item(point: MetricPoint) -> Item:
    """A stored point as an item."""
    return Item("metric", point, signals=point.cursor, time=point.time)


def signal_items(kind: str, sequence: int, payload: bytes) -> list[Item]:
    """The records of one signal message; none of kinds that are not streamed. Raises ``msgspec.MsgspecError``."""
    if kind == "log":
        logs = _logs(payload).data
        return [
            log_item(
                LogView(
                    cursor=cursor(sequence, index), time=text_of(r.time), level=r.level, message=r.message,
                    logger=r.logger, step=r.step, attempt=logs.attempt, data=r.data,
                )
            )
            for index, r in enumerate(logs.records)
        ]  # fmt: skip
    if kind == "metric":
        metrics = _metrics(payload).data
        return [
            metric_item(
                MetricPoint(
                    cursor=cursor(sequence, index), time=text_of(r.time), name=r.name, value=r.value, index=r.index,
                    unit=r.unit, step=r.step, attempt=metrics.attempt,
                )
            )
            for index, r in enumerate(metrics.records)
        ]  # fmt: skip
    if kind == "progress":
        records = _progresses(payload).data.records
        return [
            Item("progress", _progress(r), signals=cursor(sequence, index), time=text_of(r.time))
            for index, r in enumerate(records)
        ]
    return []


def _progress(record: Any) -> ProgressView:
    return ProgressView(
        time=text_of(record.time), done=record.done, total=record.total, unit=record.unit, message=record.message,
        step=record.step,
    )  # fmt: skip


def verdict_of(event: Event) -> VerdictData:
    """Attempt, last signal and error of a verdict (or pause). Raises ``codec.UnknownEvent``."""
    fact_of(event)
    return _verdict(event.data)


def fact_items(sequence: int, event: Event, *, final: bool) -> list[Item]:
    """The fact, and its status where it changes one: before it, or after it when the stream ends with it."""
    fact = Item("fact", FactView(sequence=sequence, event=event), facts=sequence, time=event.time)
    status = STATUSES.get(event.type)
    if status is None:
        return [fact]
    said = _verdict(event.data)
    changed = Status(
        run=event.subject.rsplit("/", 1)[-1], status=status, final=final, sequence=sequence, time=event.time,
        attempt=said.attempt, error=said.error,
    )  # fmt: skip
    item = Item("status", changed, time=event.time)
    return [fact, item] if final else [item, fact]
