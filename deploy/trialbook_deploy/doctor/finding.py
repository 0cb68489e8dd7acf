"""What a check found."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Finding(msgspec.Struct, frozen=True):
    """One line of the report: ``check`` names what was looked at, ``remedy`` says what to do unless all is well."""

    check: str
    level: Level
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """It works, with a limitation or a risk."""
    return Finding(check, "warn", text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """Something does not work, or acknowledged data could be lost."""
    return Finding(check, "fail", text, remedy)


def size_text(count: float) -> str:
    """Bytes for people: ``1.5 GiB``."""
    for unit in UNITS[:-1]:
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {UNITS[-1]}"
