"""Buffers of records per kind, encoded in chunks: the cheap end of the signal path, in the workload's own process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from trialbook.errors import Invalid, Unavailable
from trialbook.signals import CHUNK_BYTES, CHUNK_RECORDS, Log, Metric, Progress, Row
from trialbook.subjects import SignalKind

MAX_RECORD_BYTES = 512 * 1024
LARGE = 256
"""Texts from this length on count towards ``CHUNK_BYTES``; shorter ones are bounded by ``CHUNK_RECORDS``."""
encode = msgspec.json.Encoder().encode


class Recorder:
    """``send(kind, count, records)`` gets a JSON array of records; it may block, which is the backpressure.

    ``wake()`` is called when the first record after a flush arrived, so that somebody calls ``flush`` soon. ``bound``
    limits the records waiting per kind where ``send`` cannot block (0: not needed).
    """

    def __init__(
        self,
        send: Callable[[SignalKind, int, bytes], None],
        wake: Callable[[], None],
        lock: AbstractContextManager[Any] | None = None,
        bound: int = 0,
    ) -> None:
        self._send, self._wake, self._bound = send, wake, bound
        kinds: tuple[SignalKind, ...] = ("log", "metric", "progress", "record")
        self._buffers: dict[SignalKind, deque[Any]] = {
            kind: deque()  # bounded: a full chunk is sent by whoever fills it, or refused past ``bound``
            for kind in kinds
        }
        self._logs = self._buffers["log"]
        self._lock: AbstractContextManager[Any] = lock or threading.Lock()
        self._large = 0
        self.dirty = False

    def log(self, record: Log) -> None:
        """Add a log line."""
        self._logs.append(record)
        if not self.dirty:
            self.dirty = True
            self._wake()
        if len(self._logs) >= CHUNK_RECORDS or (
            record.message is not None and len(record.message) > LARGE and self._grown(len(record.message))
        ):
            self._full("log")
        if record.data is not None:
            self._weigh("log", len(bytes(record.data)))

    def metric(self, record: Metric) -> None:
        """Add a measurement."""
        self._add("metric", record)

    def progress(self, record: Progress) -> None:
        """Add a progress report."""
        self._add("progress", record)

    def row(self, record: Row) -> None:
        """Add a table row."""
        self._add("record", record)
        self._weigh("record", len(bytes(record.data)))

    def flush(self) -> None:
        """Send everything that is buffered."""
        self.dirty = False
        for kind in self._buffers:
            self._flush(kind)

    def _add(self, kind: SignalKind, record: Any) -> None:
        buffer = self._buffers[kind]
        buffer.append(record)
        if not self.dirty:
            self.dirty = True
            self._wake()
        if len(buffer) >= CHUNK_RECORDS:
            self._full(kind)

    def _weigh(self, kind: SignalKind, size: int) -> None:
        if size > LARGE and self._grown(size):
            self._full(kind)

    def _grown(self, size: int) -> bool:
        self._large += size
        return self._large > CHUNK_BYTES

    def _full(self, kind: SignalKind) -> None:
        if not self._bound:
            self._flush(kind)
        elif len(self._buffers[kind]) > self._bound:
            raise Unavailable("signals_backlogged", "Signals are produced faster than they can be stored.")

    def _flush(self, kind: SignalKind) -> None:
        buffer = self._buffers[kind]
        with self._lock:
            self._large = 0
            while buffer:
                self._emit(kind, [buffer.popleft() for _ in range(min(len(buffer), CHUNK_RECORDS))])

    def _emit(self, kind: SignalKind, records: list[Any]) -> None:
        try:
            encoded = encode(records)
        except UnicodeEncodeError:
            records = [_printable(record) for record in records]
            encoded = encode(records)
        if len(encoded) > 2 * CHUNK_BYTES and len(records) > 1:
            middle = len(records) // 2
            self._emit(kind, records[:middle])
            self._emit(kind, records[middle:])
        else:
            self._send(kind, len(records), encoded)


def checked_data(data: Any) -> msgspec.Raw:
    """Encode the JSON member of a record. Raises ``Invalid`` (``record_too_large``) and ``TypeError``."""
    encoded = encode(data)
    if len(encoded) > MAX_RECORD_BYTES:
        raise Invalid(
            "record_too_large", f"A record holds at most {MAX_RECORD_BYTES} bytes; store an artifact instead."
        )
    return msgspec.Raw(encoded)


def bounded_text(text: str) -> str:
    """A message cut, visibly, to what one record may hold."""
    limit = MAX_RECORD_BYTES // 4  # in the worst case a character takes four bytes
    return text if len(text) <= limit else f"{text[:limit]} [{len(text) - limit} more characters]"


def _printable(record: Any) -> Any:
    """Replace lone surrogates, which have no UTF-8 form."""
    fields = {
        name: value.encode("utf-8", "replace").decode()
        for name in record.__struct_fields__
        if isinstance(value := getattr(record, name), str)
    }
    return msgspec.structs.replace(record, **fields)
