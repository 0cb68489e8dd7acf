"""Erase data subjects."""

from __future__ import annotations

import msgspec

from trialbook.client.resource import Resource


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure: ``status`` is ``erasing``, then ``erased``. Times are RFC 3339 UTC or None."""

    id: str
    status: str
    reason: str
    registered_at: str | None
    erased_at: str | None
    shredded_at: str | None
    aggregates: int
    signals: int
    blobs: int


class Erasures(Resource):
    """Destroy the keys of personal data."""

    async def erase(self, data_subject: str, reason: str = "") -> Erasure:
        """Decide to erase. Raises ``NotFound``, or ``Conflict`` (``data_subject_active``) while runs go on.

        Asking again is harmless. ``reason`` stays readable in the ledger.
        """
        body = {"data_subject": data_subject, "reason": reason}
        return await self._transport.post("/v1/erasures", Erasure, body)

    async def get(self, erasure_id: str) -> Erasure:
        """How far an erasure is."""
        return await self._transport.get(f"/v1/erasures/{erasure_id}", Erasure, consistent=False)
