"""Keys that do not show: not in a repr, not in a pickle, and not in a text that passed the redactor."""

from __future__ import annotations

from collections.abc import Iterable
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
