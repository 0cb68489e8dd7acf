"""The signature of an export's manifest, which covers every file of it: asked for, and checked with the public key."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from nats.aio.client import Client

from trialbook.asking import NatsAsk
from trialbook.audit.manifests import Signed, signed_by
from trialbook.audit.notes import InvalidNote
from trialbook.audit.signer import PublicKey
from trialbook.errors import NotFound
from trialbook.ledger.manifest import Manifest
from trialbook.ledger.segments import Damaged
from trialbook.ledger.storage import SegmentStorage
from trialbook.proofs import LedgerManifest, SignedManifest

ASK_S = 10.0


async def signature_of(nc: Client, manifest: bytes) -> bytes:
    """The note with which a projector that has the log's key signs a manifest. Raises what it refuses."""
    question = LedgerManifest(sha256=sha256(manifest).hexdigest(), size=len(manifest))
    answer = await NatsAsk(nc).ask("_", question, ASK_S)
    return msgspec.json.decode(answer.result or b"{}", type=SignedManifest).note.encode()


async def signature(
    storage: SegmentStorage, manifest: Manifest, content: bytes, keys: Sequence[PublicKey]
) -> Signed | None:
    """Who has signed the manifest whose bytes are ``content``; None: it says itself that nobody has.

    Raises ``Damaged`` when it is another one's signature, of none of these keys, or gone.
    """
    if not manifest.note:
        return None
    try:
        return signed_by(await storage.get(manifest.note), content, keys)
    except NotFound:
        raise Damaged(f"{manifest.note}, the signature of the manifest, is gone") from None
    except InvalidNote as error:
        raise Damaged(f"{manifest.note} does not prove the manifest: {error}") from None
