"""Where two JSON-able values differ first, in words."""

from __future__ import annotations

from typing import Any


def first_difference(old: Any, new: Any, path: str = "") -> str:
    """The first difference with its path and both values shortened; empty when there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            found = first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
            if found:
                return found
        return ""
    if isinstance(old, list) and isinstance(new, list):
        for place, (left, right) in enumerate(zip(old, new, strict=False)):
            found = first_difference(left, right, f"{path}[{place}]")
            if found:
                return found
        return "" if len(old) == len(new) else f"{path} has {len(new)} entries instead of {len(old)}"
    if old == new:
        return ""
    if isinstance(old, str) and isinstance(new, str):
        return f"{path} {_text_difference(old, new)}"
    return f"{path} is {_short(new)} instead of {_short(old)}"


def _text_difference(old: str, new: str) -> str:
    pairs = zip(old, new, strict=False)
    at = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
    start = max(0, at - 20)
    return f"differs at character {at}: {new[start : at + 60]!r} instead of {old[start : at + 60]!r}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
