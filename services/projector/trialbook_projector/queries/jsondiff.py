"""What differs between two JSON values, member by member, with JSON pointers (RFC 6901)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from trialbook.history import Verb


class Member(msgspec.Struct, frozen=True):
    """One difference; ``old`` and ``new`` are None where there is nothing."""

    pointer: str
    change: Verb
    old: Any
    new: Any


def differences(old: Any, new: Any, pointer: str = "") -> Iterator[Member]:
    """The smallest members that differ, in the order of ``old`` and then of what is new."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            here = f"{pointer}/{_escaped(key)}"
            if key in new:
                yield from differences(value, new[key], here)
            else:
                yield Member(here, "removed", value, None)
        for key in (key for key in new if key not in old):
            yield Member(f"{pointer}/{_escaped(key)}", "added", None, new[key])
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = f"{pointer}/{index}"
            if index >= len(new):
                yield Member(here, "removed", old[index], None)
            elif index >= len(old):
                yield Member(here, "added", None, new[index])
            else:
                yield from differences(old[index], new[index], here)
    elif type(old) is not type(new) or old != new:
        yield Member(pointer, "changed", old, new)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
