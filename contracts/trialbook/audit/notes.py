"""Signed notes (C2SP signed-note): text, an empty line, and one line per signature. Format only; see ``signer``.

A signature line is an em dash, the key's name, and base64 of the key's id and the signature. Lines of keys that a
reader does not know are kept and ignored.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

import msgspec

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 64
DASH = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_ID_BYTES = 4


class InvalidNote(ValueError):
    """Bytes that are no signed note, or whose signatures do not hold; the text says which."""


class Signature(msgspec.Struct, frozen=True):
    """One line: the key's name, its id (the first four bytes of its hash), and what the key signed."""

    name: str
    key_id: int
    blob: bytes

    @property
    def line(self) -> str:
        """As it stands in a note, with its newline."""
        packed = b64encode(self.key_id.to_bytes(_ID_BYTES, "big") + self.blob).decode()
        return f"{DASH}{self.name} {packed}\n"


class Note(msgspec.Struct, frozen=True):
    """A text (it ends with a newline) and its signatures, verified or not."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note as UTF-8."""
        return (self.text + "\n" + "".join(signature.line for signature in self.signatures)).encode()


def is_name(name: str) -> bool:
    """Whether a key may be called so: no spaces, no plus, not empty."""
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


def parse(data: bytes) -> Note:
    """A note from its bytes. Raises ``InvalidNote``. Nothing is verified."""
    if len(data) > MAX_NOTE_BYTES:
        raise InvalidNote(f"a note has at most {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise InvalidNote("a note is UTF-8") from None
    if _CONTROL.search(whole):
        raise InvalidNote("a note has no control characters")
    text, gap, lines = whole.rpartition("\n\n")
    if not gap or not lines.endswith("\n"):
        raise InvalidNote("a note is text, an empty line and signatures")
    found = tuple(_signature(line) for line in lines[:-1].split("\n"))
    if len(found) > MAX_SIGNATURES:
        raise InvalidNote(f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(text + "\n", found)


def _signature(line: str) -> Signature:
    words = line.removeprefix(DASH).split(" ")
    if not line.startswith(DASH) or len(words) != 2 or not is_name(words[0]):
        raise InvalidNote(f"{line[:80]!r} is no signature line")
    try:
        packed = b64decode(words[1], validate=True)
    except Base64Error:
        raise InvalidNote(f"{line[:80]!r} is not in base64") from None
    if len(packed) <= _ID_BYTES or b64encode(packed).decode() != words[1]:
        raise InvalidNote(f"{line[:80]!r} is no signature line")
    return Signature(words[0], int.from_bytes(packed[:_ID_BYTES], "big"), packed[_ID_BYTES:])
