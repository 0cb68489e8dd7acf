"""The master key of an installation, and what it makes of a data subject: an id that tells nothing, wrapped keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trialbook.errors import Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
ENV, FILE_ENV = "TRIALBOOK_MASTER_KEY", "TRIALBOOK_MASTER_KEY_FILE"


class Lost(ValueError):
    """A key cannot be had although nobody erased it: the facts it sealed cannot be opened now."""


class MasterKey(msgspec.Struct, frozen=True):
    """32 secret bytes. Whoever has them and the stored keys can open what is sealed; neither alone suffices."""

    secret: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return "MasterKey(...)"

    def key_id(self, workspace: str, data_subject: str) -> str:
        """32 hex digits that name the key of a data subject; without the master key they cannot be guessed."""
        text = f"{workspace}\x1f{data_subject}".encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()[:32]

    def wrap(self, key_id: str, key: bytes) -> bytes:
        """The key as it is stored: nonce and ciphertext (AES-256-GCM, bound to the id)."""
        return encrypt(self.secret, key, key_id.encode())

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """The key. Raises ``Lost`` when another master key wrapped it or it was altered."""
        try:
            return decrypt(self.secret, wrapped, key_id.encode())
        except Lost:
            raise Lost(f"the data key {key_id} was not wrapped with this master key") from None


def _cipher(secret: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise Unavailable(
            "vault_not_installed",
            "Sealing personal data needs the package cryptography: pip install 'trialbook[server]'.",
        ) from error
    return AESGCM(secret)


def fresh(size: int) -> bytes:
    """Bytes that nobody can guess, for keys and nonces: they are meant to differ every time."""
    return os.urandom(size)


def encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """Nonce and ciphertext (AES-256-GCM) of ``plain``, which opens only together with ``bound_to``."""
    nonce = fresh(NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plain, bound_to)


def decrypt(key: bytes, box: bytes, bound_to: bytes) -> bytes:
    """The plain bytes. Raises ``Lost`` when key, box and what it is bound to do not belong together."""
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], bound_to)
    except InvalidTag:
        raise Lost("a sealed member does not belong to its fact or key") from None


def master_key(environ: Mapping[str, str]) -> MasterKey | None:
    """From ``TRIALBOOK_MASTER_KEY`` or the file ``TRIALBOOK_MASTER_KEY_FILE``: 32 bytes in base64. None: not set.

    Raises ``Unavailable`` (code ``master_key_unreadable``) for anything else; the text never shows the value.
    """
    text, source = environ.get(ENV, ""), ENV
    if not text and (path := environ.get(FILE_ENV, "")):
        source = FILE_ENV
        try:
            text = Path(path).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise Unavailable("master_key_unreadable", f"The file that {FILE_ENV} names cannot be read.") from error
    if not text.strip():
        return None
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise Unavailable("master_key_unreadable", f"{source} must hold {KEY_BYTES} bytes in base64.")
    return MasterKey(secret)
