"""What a load has to say about its files."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import force_setattr

_ESCAPES = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Severity(StrEnum):
    """How bad it is; a load fails only if something is CRITICAL."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class Message(Struct, frozen=True):
    r"""One finding, on one line: line breaks and tabs in ``message`` become ``\n``, ``\r`` and ``\t``.

    ``row`` is zero-based in the table; ``code`` is null for what is no finding but good news.
    """

    severity: Severity
    message: str
    table: str | None = None
    column: str | None = None
    row: int | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "message", self.message.translate(_ESCAPES))
