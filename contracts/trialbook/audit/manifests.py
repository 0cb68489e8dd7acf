"""The note that signs the manifest of an export: over its exact bytes, by the log's key.

Its second line is no number, so that no reader of checkpoints takes it for one, whatever the log is called.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from trialbook.audit.notes import InvalidNote, parse
from trialbook.audit.signer import PublicKey, verified

ORIGIN = "trialbook.manifest/v1"
_TEXT = re.compile(rf"{re.escape(ORIGIN)}\nsha256 ([0-9a-f]{{64}})\nbytes ([0-9]{{1,15}})\ntime ([0-9]{{1,12}})\n")


class ManifestNote(msgspec.Struct, frozen=True, kw_only=True):
    """``sha256`` (hex) and ``size`` in bytes of the manifest; ``time_s``: Unix second at which it was signed."""

    sha256: str
    size: int
    time_s: int

    @property
    def text(self) -> str:
        """The text to sign."""
        return f"{ORIGIN}\nsha256 {self.sha256}\nbytes {self.size}\ntime {self.time_s}\n"


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Who has signed a manifest (``name`` of the log, its key's ``key_id``), at which Unix second."""

    name: str
    key_id: int
    time_s: int


def signed_by(note: bytes, manifest: bytes, keys: Sequence[PublicKey]) -> Signed:
    """Whose signature the note is, over these bytes of a manifest. Raises ``InvalidNote``: the text says why."""
    found = parse(note)
    match = _TEXT.fullmatch(found.text)
    if match is None:
        raise InvalidNote("it is not the signature of a manifest")
    key = verified(found, keys)[0]
    said = ManifestNote(sha256=match[1], size=int(match[2]), time_s=int(match[3]))
    if (said.sha256, said.size) != (sha256(manifest).hexdigest(), len(manifest)):
        raise InvalidNote("it signs another manifest, or the manifest was changed since")
    return Signed(name=key.name, key_id=key.id, time_s=said.time_s)
