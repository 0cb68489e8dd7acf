"""Checkpoints (C2SP tlog-checkpoint): a signed note that says how long the ledger is and what the head of its tree is.

Beside them stand key notes, by which a log's old key names its new one. Both are text of a note and may be told apart
by their first line.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

import msgspec

from trialbook.audit.merkle import SIZE
from trialbook.audit.notes import InvalidNote
from trialbook.audit.signer import InvalidKey, PublicKey, parse_public

ORIGIN = re.compile(r"[A-Za-z0-9_-]+(?:[./:][A-Za-z0-9_-]+)*")
"""What a log may be called here: it is a NATS subject as well."""
KEY_NOTE = "trialbook.key/v1"
_TIME = "time "
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
MAX_ORIGIN = 200


class Checkpoint(msgspec.Struct, frozen=True):
    """``size`` facts with the tree head ``root``; ``time_s`` is when it was signed, in Unix seconds (0: not said)."""

    origin: str
    size: int
    root: bytes
    time_s: int = 0

    @property
    def text(self) -> str:
        """The text to sign."""
        time = f"{_TIME}{self.time_s}\n" if self.time_s else ""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n{time}"


class KeyNote(msgspec.Struct, frozen=True):
    """``old`` says that ``new`` signs from here on; ``size`` is that of the checkpoint before."""

    old: PublicKey
    new: PublicKey
    size: int

    @property
    def text(self) -> str:
        """The text that both keys sign."""
        return f"{KEY_NOTE}\n{self.size}\n{self.old.text}\n{self.new.text}\n"


def is_origin(name: str) -> bool:
    """Whether a log may be called so."""
    return len(name) <= MAX_ORIGIN and ORIGIN.fullmatch(name) is not None


def parse_text(text: str) -> Checkpoint | KeyNote:
    """What the text of a note says. Raises ``InvalidNote``."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines) or not _NUMBER.fullmatch(lines[1]):
        raise InvalidNote("a checkpoint is an origin, a size and a root")
    if lines[0] == KEY_NOTE:
        return _key_note(lines)
    try:
        root = b64decode(lines[2], validate=True)
    except Base64Error:
        raise InvalidNote("the root of a checkpoint is in base64") from None
    if len(root) != SIZE or b64encode(root).decode() != lines[2]:
        raise InvalidNote(f"the root of a checkpoint has {SIZE} bytes")
    times = [line.removeprefix(_TIME) for line in lines[3:] if line.startswith(_TIME)]
    time_s = int(times[0]) if times and _NUMBER.fullmatch(times[0]) else 0
    return Checkpoint(lines[0], int(lines[1]), root, time_s)


def _key_note(lines: list[str]) -> KeyNote:
    if len(lines) != 4:
        raise InvalidNote("a key note is a size and two keys")
    try:
        old, new = parse_public(lines[2]), parse_public(lines[3])
    except InvalidKey as error:
        raise InvalidNote(str(error)) from None
    return KeyNote(old, new, int(lines[1]))
