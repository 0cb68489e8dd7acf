"""Rows too large for a signal: shortened for the tables, with a mark, while the history keeps them whole."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from trialbook_runner.records import MAX_RECORD_BYTES

STEPS = ((32_768, 512), (4_096, 128), (512, 64), (64, 32))
"""Most characters of a text and members of a list or an object, tried in this order."""
MARK = "shortened"


def shortened(data: dict[str, Any]) -> dict[str, Any]:
    """The same shape within ``MAX_RECORD_BYTES``: long texts say how much is missing, lists and objects keep their
    first members, and ``shortened`` is true. What cannot be brought down is returned as short as it gets.
    """
    cut: dict[str, Any] = {}
    for characters, members in STEPS:
        cut = _cut(data, characters, members) | {MARK: True}
        if len(msgspec.json.encode(cut)) <= MAX_RECORD_BYTES:
            break
    return cut


def _cut(value: Any, characters: int, members: int) -> Any:
    match value:
        case str() if len(value) > characters:
            return f"{value[:characters]} [{len(value) - characters} more characters]"
        case dict():
            return {key: _cut(item, characters, members) for key, item in islice(value.items(), members)}
        case list() | tuple():
            return [_cut(item, characters, members) for item in value[:members]]
        case _:
            return value
