"""Keys that sign notes: Ed25519 signatures of logs and timestamped cosignatures of witnesses (C2SP tlog-cosignature).

Keys are text, as in other tools of these formats: ``<name>+<id in hex>+<base64>`` is public,
``PRIVATE+KEY+<name>+<id in hex>+<base64>`` secret.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from hashlib import sha256
from typing import Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from trialbook.audit.notes import InvalidNote, Note, Signature, is_name

LOG, WITNESS = 1, 4
"""Types of keys: signs the text of a note; signs it together with the time at which it was seen."""
SECRET = "PRIVATE+KEY+"  # noqa: S105 - how such a text begins
KEY_BYTES = 32
_TIME_BYTES = 8


class InvalidKey(ValueError):
    """Text that is no key; the message never holds the text."""


def key_id(name: str, kind: int, public: bytes) -> int:
    """The short name of a key: four bytes of a hash over name, kind and public key."""
    return int.from_bytes(sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4], "big")


class PublicKey(msgspec.Struct, frozen=True):
    """Verifies. ``kind`` is ``LOG`` or ``WITNESS``; ``raw`` the 32 bytes of the Ed25519 key."""

    name: str
    kind: int
    raw: bytes

    @property
    def id(self) -> int:
        """The id that its signatures carry."""
        return key_id(self.name, self.kind, self.raw)

    @property
    def text(self) -> str:
        """As it is handed to those who verify."""
        return f"{self.name}+{self.id:08x}+{b64encode(bytes([self.kind]) + self.raw).decode()}"

    def made(self, signature: Signature) -> bool:
        """Whether a signature claims to be of this key."""
        return signature.name == self.name and signature.key_id == self.id

    def holds(self, text: str, signature: Signature) -> bool:
        """Whether the signature is this key's over ``text``."""
        if self.kind == LOG:
            return self.verify(text.encode(), signature.blob)
        stamp, blob = signature.blob[:_TIME_BYTES], signature.blob[_TIME_BYTES:]
        return self.verify(_cosigned(text, int.from_bytes(stamp, "big")), blob)

    def verify(self, data: bytes, blob: bytes) -> bool:
        """Whether ``blob`` is this key's plain Ed25519 signature of ``data``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(blob, data)
        except InvalidSignature:
            return False
        return True


class Signer:
    """A secret key. ``name`` is that of the log or of the witness."""

    def __init__(self, name: str, seed: bytes, kind: int = LOG) -> None:
        """``seed``: 32 secret bytes. Raises ``InvalidKey``."""
        if not is_name(name) or len(seed) != KEY_BYTES or kind not in (LOG, WITNESS):
            raise InvalidKey("a key has a name without spaces or plus and 32 secret bytes")
        self._key, self._seed = Ed25519PrivateKey.from_private_bytes(seed), seed
        self.public = PublicKey(name, kind, self._key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """A secret key from its text. Raises ``InvalidKey``."""
        name, number, kind, seed = _parts(text.strip().removeprefix(SECRET))
        if not text.startswith(SECRET):
            raise InvalidKey("a secret key begins with PRIVATE+KEY+")
        signer = cls(name, seed, kind)
        if signer.public.id != number:
            raise InvalidKey("the id of this key is not that of its bytes")
        return signer

    @property
    def name(self) -> str:
        """The key's name; a log's is the origin of its checkpoints."""
        return self.public.name

    @property
    def text(self) -> str:
        """The secret key. Keep it in a file that only its owner reads."""
        return f"{SECRET}{self.name}+{self.public.id:08x}+{b64encode(bytes([self.public.kind]) + self._seed).decode()}"

    def sign_bytes(self, data: bytes) -> bytes:
        """A plain Ed25519 signature, 64 bytes, for other formats than notes."""
        return self._key.sign(data)

    def sign(self, text: str, time_s: int = 0) -> Signature:
        """Sign the text of a note; a witness says with it that it saw it at Unix second ``time_s``."""
        if self.public.kind == LOG:
            blob = self.sign_bytes(text.encode())
        else:
            blob = time_s.to_bytes(_TIME_BYTES, "big") + self.sign_bytes(_cosigned(text, time_s))
        return Signature(self.name, self.public.id, blob)

    def note(self, text: str) -> Note:
        """A note with this signature alone. Raises ``InvalidNote`` for a text that cannot be one."""
        if not text.endswith("\n"):
            raise InvalidNote("the text of a note ends with a newline")
        return Note(text, (self.sign(text),))


def parse_public(text: str) -> PublicKey:
    """A public key from its text. Raises ``InvalidKey``."""
    name, number, kind, raw = _parts(text.strip())
    found = PublicKey(name, kind, raw)
    if found.id != number:
        raise InvalidKey("the id of this key is not that of its bytes")
    return found


def verified(note: Note, keys: Sequence[PublicKey]) -> list[PublicKey]:
    """The keys that signed the note; others' signatures are ignored.

    Raises ``InvalidNote`` when a known key's signature does not hold, or when none of the keys has signed.
    """
    found: list[PublicKey] = []
    for signature in note.signatures:
        for key in keys:
            if not key.made(signature):
                continue
            if not key.holds(note.text, signature):
                raise InvalidNote(f"the signature of {key.name} ({key.id:08x}) does not hold")
            if key not in found:
                found.append(key)
    if not found:
        raise InvalidNote("no known key has signed this note")
    return found


def time_of(signature: Signature) -> int:
    """Unix seconds of a witness's signature."""
    return int.from_bytes(signature.blob[:_TIME_BYTES], "big")


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _parts(text: str) -> tuple[str, int, int, bytes]:
    """Name, id, kind and bytes."""
    words = text.split("+", 2)
    if len(words) != 3 or not is_name(words[0]) or len(words[1]) != 8:
        raise InvalidKey("a key is <name>+<id>+<base64>")
    try:
        number, packed = int(words[1], 16), b64decode(words[2], validate=True)
    except (ValueError, Base64Error):
        raise InvalidKey("a key is <name>+<id in hex>+<base64>") from None
    if len(packed) != KEY_BYTES + 1 or packed[0] not in (LOG, WITNESS):
        raise InvalidKey("only Ed25519 keys of logs and witnesses are known")
    return words[0], number, packed[0], packed[1:]


def origin_of(keys: Sequence[PublicKey]) -> str:
    """The log whose keys these are; empty: those of several. An imported ledger has the notes of an earlier log too."""
    names = {key.name for key in keys}
    return names.pop() if len(names) == 1 else ""
