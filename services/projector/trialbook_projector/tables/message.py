"""What the tables are made from: stored messages, and those that could not be read."""

from __future__ import annotations

from typing import Protocol

import msgspec

from trialbook.codec import UnknownEvent

UNREADABLE = (
    UnknownEvent, msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, AssertionError,
    ArithmeticError, RecursionError,
)  # fmt: skip
"""What decoding or folding a poison event may raise; anything else is a fault of ours and stops the projector."""


class Message(Protocol):
    """A stored message as ``trialbook.log.tail`` hands it out."""

    @property
    def sequence(self) -> int:
        """Position in its stream."""
        ...

    @property
    def subject(self) -> str:
        """NATS subject."""
        ...

    @property
    def data(self) -> bytes:
        """Payload."""
        ...

    @property
    def time_ns(self) -> int:
        """When the server stored it, Unix nanoseconds."""
        ...


class Parked(msgspec.Struct, frozen=True):
    """A poison message with the reason why it was put aside."""

    stream: str
    message: Message
    reason: str


def parked(stream: str, message: Message, error: BaseException) -> Parked:
    """Put a message aside; the reason is one line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return Parked(stream, message, f"{type(error).__name__}: {reason}"[:1000])
