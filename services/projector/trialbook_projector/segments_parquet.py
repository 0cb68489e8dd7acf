"""A segment as a Parquet table for analysts: the envelope in columns, the payload beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from trialbook.codec import decode_event
from trialbook.log.tail import Message
from trialbook_projector.tables.message import UNREADABLE

_SCHEMA = pa.schema([
    ("sequence", pa.int64()), ("subject", pa.string()), ("stored_at", pa.timestamp("ns", "UTC")),
    ("workspace", pa.string()), ("kind", pa.string()), ("aggregate", pa.string()), ("type", pa.string()),
    ("id", pa.string()), ("time", pa.string()), ("actor", pa.string()), ("correlation", pa.string()),
    ("causation", pa.string()), ("data", pa.string()), ("payload", pa.binary()),
])  # fmt: skip


def table_of(messages: Sequence[Message]) -> bytes:
    """A Parquet file with a row per message; ``data`` and the envelope are null where the payload is no event."""
    rows = [_row(message) for message in messages]
    columns = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), _SCHEMA, strict=True)]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA), file, compression="zstd")
    return file.getvalue()


def _row(message: Message) -> tuple[object, ...]:
    _, workspace, kind, aggregate, *_ = (*message.subject.split("."), None, None, None)
    start = (message.sequence, message.subject, message.time_ns, workspace, kind, aggregate)
    try:
        event = decode_event(message.data)
        data = bytes(event.data).decode()
    except (*UNREADABLE, msgspec.MsgspecError):
        return (*start, None, None, None, None, None, None, None, message.data)
    return (
        *start, event.type, event.id, event.time, event.actor, event.correlationid, event.causationid, data,
        message.data,
    )  # fmt: skip
