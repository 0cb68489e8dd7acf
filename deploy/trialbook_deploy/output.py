"""Lines of several processes on one stream, each prefixed with its source's name."""

from __future__ import annotations

import os
import queue
import threading
from typing import TextIO

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)
QUEUE_LINES = 10_000


def wants_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that may be coloured (https://no-color.org is respected)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class PrefixedOutput:
    """Writes from a thread through a bounded queue, so that a stalled terminal never stalls the supervisor.

    Lines beyond the bound are dropped, and how many is written where they are missing.
    """

    def __init__(self, stream: TextIO, names: list[str]) -> None:
        """`names` are all sources that will write; they fix the width and the colours."""
        self._stream = stream
        self._width = max((len(name) for name in names), default=0)
        self._colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
        self._colour = wants_colour(stream)
        self._queue: queue.Queue[str | None] = queue.Queue(maxsize=QUEUE_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._drain, name="output", daemon=True)
        self._thread.start()

    def line(self, name: str, text: str) -> None:
        """One line of the source `name`."""
        prefix = f"{name:<{self._width}} |"
        if self._colour:
            prefix = f"\x1b[{self._colours.get(name, 37)}m{prefix}\x1b[0m"
        self.say(f"{prefix} {text}")

    def say(self, text: str) -> None:
        """One line of the supervisor itself, without a prefix."""
        note = f"... {self._dropped} lines dropped, the output is too slow\n" if self._dropped else ""
        try:
            self._queue.put_nowait(f"{note}{text}\n")
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Write what is queued, waiting at most `timeout_seconds`."""
        try:
            self._queue.put(None, timeout=timeout_seconds)
        except queue.Full:
            return
        self._thread.join(timeout_seconds)

    def _drain(self) -> None:
        listening = True
        while (text := self._queue.get()) is not None:
            if not listening:
                continue
            try:
                self._stream.write(text)
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                # Nobody reads any more; the services go on and their records are in the ledger.
                listening = False
