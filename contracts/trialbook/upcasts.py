"""Old event versions become current ones by a chain of single steps over the raw JSON object, before any class exists.

To change an event: add the new class with the next version number and one function here that maps the old object to the
new one. Golden files of every version ever written stay in ``tests/golden`` and must still be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Step = tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]

CHAIN: dict[str, Step] = {}
"""Old type -> (next type, function). Empty while every event is in its first version."""


def upcast(type_: str, data: dict[str, Any], chain: dict[str, Step] | None = None) -> tuple[str, dict[str, Any]]:
    """Follow the chain from ``type_`` to its end."""
    steps = CHAIN if chain is None else chain
    while type_ in steps:
        type_, step = steps[type_]
        data = step(data)
    return type_, data
