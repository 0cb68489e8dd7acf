"""Questions about the ledger's proof, asked across workspaces (``ask._.ledger.*``), and their answers.

Hashes are hexadecimal in answers. A size is a number of facts: the tree of size ``n`` has the facts 1 to ``n``, and the
fact of sequence ``n`` is its leaf ``n - 1``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trialbook.audit.findings import Finding
from trialbook.queries import QUERIES, Query

State = Literal["verifying", "verified", "damaged"]


class LedgerState(Query, frozen=True, kw_only=True):
    """How the ledger and its tree are -> LedgerInfo."""

    NAME = "ledger.state"


class LedgerCheckpoint(Query, frozen=True, kw_only=True):
    """The latest checkpoint -> NoteView; with ``now`` one over all facts that are hashed, made if need be."""

    NAME = "ledger.checkpoint"
    now: bool = False


class LedgerInclusion(Query, frozen=True, kw_only=True):
    """Proof that the fact ``sequence`` is in the tree of ``size`` (0: the present one) -> InclusionProof."""

    NAME = "ledger.inclusion"
    sequence: int
    size: int = 0


class LedgerConsistency(Query, frozen=True, kw_only=True):
    """Proof that the tree of ``first`` is a prefix of that of ``second`` (0: the present one) -> ConsistencyProof."""

    NAME = "ledger.consistency"
    first: int
    second: int = 0


class LedgerTile(Query, frozen=True, kw_only=True):
    """A tile by its path (``<level>/<number>[.p/<width>]``) -> its bytes, 32 for each hash."""

    NAME = "ledger.tile"
    path: str


class LedgerManifest(Query, frozen=True, kw_only=True):
    """Sign the manifest of an export: the bytes with this sha256 (hex) and size -> SignedManifest."""

    NAME = "ledger.manifest"
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, msgspec.Meta(ge=1, le=10**15 - 1)]


LEDGER_QUERIES = (LedgerState, LedgerCheckpoint, LedgerInclusion, LedgerConsistency, LedgerTile, LedgerManifest)
ALL_QUERIES: dict[str, type[Query]] = {**QUERIES, **{query.NAME: query for query in LEDGER_QUERIES}}
"""Every question there is."""


class LedgerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the ledger as one projector knows it; also announced on ``presence.ledger.<id>``.

    ``size`` and ``root``: the tree now. ``signed``: facts under the latest checkpoint. ``origin`` and ``key`` (the
    public key as text) are empty when this projector signs nothing. ``checked`` of ``total`` facts have been read again
    by the verification that runs, or ran last; ``verified_at`` is when one ended well. ``findings`` are at most 100 of
    ``deviations``. Times are RFC 3339 UTC, empty: never.
    """

    id: str
    state: State
    size: int = 0
    root: str = ""
    signed: int = 0
    origin: str = ""
    key: str = ""
    checked: int = 0
    total: int = 0
    verified_at: str = ""
    changed_at: str = ""
    findings: list[Finding] = []
    deviations: int = 0

    @property
    def why(self) -> str:
        """The damage in a sentence."""
        shown = "; ".join(finding.text for finding in self.findings[:3])
        more = f" and {self.deviations - 3} more" if self.deviations > 3 else ""
        return f"The ledger does not hold what was written: {shown}{more}."


class NoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as signed note (``note``) and what it says. ``sequence`` is its place in CHECKPOINTS."""

    note: str
    origin: str
    size: int
    root: str
    time: str = ""
    sequence: int = 0
    signatures: list[str] = []
    """Names of the keys whose signatures it carries, verified or not."""


class SignedManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A signed note over a manifest (``trialbook.audit.manifests``), by the log's ``key`` (public, as text)."""

    note: str
    key: str


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """``path`` leads from ``leaf`` (the leaf hash of fact ``sequence``) to ``root``, the head of ``size`` facts."""

    sequence: int
    size: int
    leaf: str
    root: str
    path: list[str]


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True):
    """``path`` shows that the tree of ``first`` facts, head ``first_root``, is the beginning of that of ``second``."""

    first: int
    second: int
    first_root: str
    second_root: str
    path: list[str]
