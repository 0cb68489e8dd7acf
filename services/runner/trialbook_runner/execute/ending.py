"""What executors share: the control of an attempt from outside, and the conversion of refusals for the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trialbook.errors import Refusal
from trialbook_runner.execute.wire import Notice


class Control:
    """Requests to a running attempt. ``listener`` is called for each one; late listeners get what was asked before."""

    def __init__(self, pause: bool = False) -> None:
        self.cancel = False
        self.pause = pause
        self.release = False
        """The runner is stopping: pause at the next checkpoint and let another runner go on."""
        self._listener: Callable[[Notice], None] | None = None

    def listen(self, listener: Callable[[Notice], None]) -> None:
        """Only one listener; a cancellation that came earlier is delivered now."""
        self._listener = listener
        if self.cancel:
            listener("cancel")
        elif self.pause or self.release:
            listener("pause")

    def ask(self, notice: Notice) -> None:
        """Pass a request on."""
        if notice == "cancel":
            self.cancel = True
        else:
            self.pause = notice == "pause"
        if self._listener and not (notice == "resume" and self.release):
            self._listener(notice)

    def ask_release(self) -> None:
        """Pause without being asked by a user."""
        self.release = True
        if self._listener:
            self._listener("pause")


def refusal_members(error: Refusal) -> dict[str, Any]:
    """A refusal as the arguments of ``trialbook.errors.refusal``."""
    return {"kind": error.kind, "code": error.code, "detail": error.detail, "extra": error.extra}
