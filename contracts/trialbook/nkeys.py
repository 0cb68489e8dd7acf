"""Ed25519 keys in the text form of NATS (nkeys): ``U...`` the public key of a user, ``SU...`` the seed behind it.

The form is base32 without padding of prefix bytes, the 32 bytes of the key, and their CRC-16 (XMODEM, low byte first).
Needs the package `cryptography`, which the extra `server` brings.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from trialbook.errors import Invalid

if TYPE_CHECKING:  # whoever only checks a key does not load the library
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USER = 20 << 3
SEED = 18 << 3
KEY_BYTES = 32
CRC_BYTES = 2


class UserKey:
    """One user's key pair. It is kept in memory only; ``seed`` is its secret text."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> str:
        """The text that a server knows the user by: 56 characters, the first is ``U``."""
        return _text(bytes([USER]) + self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The secret: 58 characters that begin with ``SU``."""
        return _text(bytes([SEED | USER >> 5, (USER & 31) << 3]) + self._key.private_bytes_raw())

    def sign(self, nonce: str) -> bytes:
        """The base64 text that answers a server's nonce."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def new_user() -> UserKey:
    """A fresh key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return UserKey(Ed25519PrivateKey.generate())


def user_of(seed: str) -> UserKey:
    """The key behind a seed. Raises ``Invalid`` (code ``invalid_seed``), which never repeats the text."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = _bytes(seed.strip(), KEY_BYTES + 2)
    if raw is None or raw[0] != SEED | USER >> 5 or raw[1] != (USER & 31) << 3:
        raise Invalid("invalid_seed", "This is not the seed of a NATS user: 58 characters that begin with SU.")
    return UserKey(Ed25519PrivateKey.from_private_bytes(raw[2:]))


def check_public(text: str) -> str:
    """A user's public key as given. Raises ``Invalid`` (code ``invalid_public_key``) when it is none."""
    raw = _bytes(text, KEY_BYTES + 1)
    if raw is None or raw[0] != USER:
        raise Invalid("invalid_public_key", f"{text[:80]!r} is not the public key of a NATS user.")
    return text


def _text(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(CRC_BYTES, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _bytes(text: str, size: int) -> bytes | None:
    """The checked bytes; None for what is no key of that size."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (ValueError, binascii.Error):
        return None
    body, crc = raw[:-CRC_BYTES], raw[-CRC_BYTES:]
    if len(body) != size or binascii.crc_hqx(body, 0).to_bytes(CRC_BYTES, "little") != crc:
        return None
    return body
