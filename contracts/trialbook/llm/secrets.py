"""Keys that do not show: not in a repr, not in a pickle, and not in a text that passed the redactor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

MASK = "***"
MIN_LENGTH = 8
"""A shorter key is a placeholder of a local server ("none", "ollama"); masking it would mangle every text."""


class Secret:
    """A key. Only ``reveal`` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself; hand it to a client and to nothing else."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Redactor:
    """Masks known keys in texts and JSON-able values."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        values = {secret.reveal() for secret in secrets}
        # Longest first: a key that holds another one must not be cut in two.
        self._values = sorted((value for value in values if len(value) >= MIN_LENGTH), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without keys."""
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def value(self, value: Any) -> Any:
        """A copy of a JSON-able value without keys, in names of members too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def stream(self, emit: Callable[[str], None]) -> RedactedStream:
        """Masks a text that comes in pieces, also where a key is cut by their borders."""
        return RedactedStream(self, self._values, emit)


class RedactedStream:
    """Hands pieces on, holding back an end that may be the beginning of a key."""

    def __init__(self, redactor: Redactor, values: list[str], emit: Callable[[str], None]) -> None:
        self._redactor = redactor
        self._values = values
        self._emit = emit
        self._held = ""
        self.begun = False
        """Whether anything was handed on."""

    def __call__(self, piece: str) -> None:
        """Take the next piece."""
        text = self._redactor.text(self._held + piece)
        held = max((_overlap(text, value) for value in self._values), default=0)
        self._held = text[len(text) - held :]
        self._give(text[: len(text) - held])

    def flush(self) -> None:
        """Hand on what was held back; the text has ended."""
        held, self._held = self._held, ""
        self._give(held)

    def _give(self, text: str) -> None:
        if text:
            self.begun = True
            self._emit(text)


def _overlap(text: str, value: str) -> int:
    """Length of the longest end of ``text`` with which ``value`` begins."""
    longest = min(len(text), len(value) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(value[:size])), 0)
