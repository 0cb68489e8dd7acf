"""Signed statements: in-toto attestations in DSSE envelopes, with the ledger's Ed25519 key."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any

import msgspec

from trialbook.audit.signer import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class InvalidEnvelope(ValueError):
    """Something that is no envelope, or that none of the keys has signed."""


class Signed(msgspec.Struct, frozen=True):
    """One signature: ``keyid`` names the key (``name+id``), ``sig`` is base64."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """A DSSE envelope; ``payload`` is base64 of the statement's JSON."""

    payload_type: str
    payload: str
    signatures: tuple[Signed, ...]


def encoded(payload_type: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def key_name(key: PublicKey) -> str:
    """How an envelope names a key."""
    return f"{key.name}+{key.id:08x}"


def sign(statement: dict[str, Any], signer: Signer) -> Envelope:
    """The statement in an envelope signed by the ledger's key."""
    body = msgspec.json.encode(statement)
    signature = signer.sign_bytes(encoded(PAYLOAD_TYPE, body))
    return Envelope(
        payload_type=PAYLOAD_TYPE,
        payload=b64encode(body).decode(),
        signatures=(Signed(key_name(signer.public), b64encode(signature).decode()),),
    )


def verified(envelope: Envelope, keys: Sequence[PublicKey]) -> dict[str, Any]:
    """The statement, when one of the keys has signed it. Raises ``InvalidEnvelope``."""
    if envelope.payload_type != PAYLOAD_TYPE:
        raise InvalidEnvelope(f"an envelope of {envelope.payload_type!r} is no attestation")
    try:
        body = b64decode(envelope.payload, validate=True)
        blobs = [(s.keyid, b64decode(s.sig, validate=True)) for s in envelope.signatures]
        message = encoded(envelope.payload_type, body)
        if not any(key_name(key) == name and key.verify(message, blob) for key in keys for name, blob in blobs):
            raise InvalidEnvelope("none of the keys has signed this statement")
        statement: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (Base64Error, msgspec.MsgspecError) as error:
        raise InvalidEnvelope(f"the envelope cannot be read: {error}") from None
    return statement
