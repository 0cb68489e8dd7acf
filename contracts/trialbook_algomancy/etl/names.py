"""Names of uploads: only what is safe to keep, and what the schemas are found by."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from msgspec import Struct

from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.schemas import EXTENSIONS

MAX_NAME_CHARS = 255
_SEPARATORS = re.compile(r"[/\\]")


class UploadName(Struct, frozen=True):
    """``logical_name`` is ``name`` without its last extension; ``extension`` is lower case without the dot."""

    name: str
    logical_name: str
    extension: str


def upload_name(given: str) -> UploadName:
    """What is kept of a file name: the part after the last slash of either kind.

    Raises ``Unreadable`` for an empty name, ``.``, ``..``, control characters and extensions that no reader knows.
    """
    name = _SEPARATORS.split(given)[-1]
    # Cc are controls, Cs lone surrogates, which no file system and no JSON takes.
    unsafe = any(unicodedata.category(character) in {"Cc", "Cs"} for character in given)
    if unsafe or not name.strip() or name in {".", ".."} or len(name) > MAX_NAME_CHARS:
        raise Unreadable(f"Invalid file name {given[:MAX_NAME_CHARS]!a}.")
    path = PurePosixPath(name)
    logical_name, extension = path.stem, path.suffix
    if extension[1:].lower() not in EXTENSIONS:
        raise Unreadable(
            f"Unsupported file extension '{extension.lower()}' for upload '{logical_name}'. "
            f"Supported: {list(EXTENSIONS)}"
        )
    return UploadName(name, logical_name, extension[1:].lower())


def upload_names(given: Iterable[str]) -> list[UploadName]:
    """The names of one request. Raises ``Unreadable`` as ``upload_name``, and for two with one logical name."""
    names = [upload_name(name) for name in given]
    seen: set[str] = set()
    for name in names:
        if name.logical_name in seen:
            raise Unreadable(f"Duplicate upload for '{name.logical_name}'.")
        seen.add(name.logical_name)
    return names
