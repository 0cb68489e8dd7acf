"""Erase data subjects."""

from __future__ import annotations

from trialbook.client.resource import Resource
from trialbook.views import ErasureView


class Erasures(Resource):
    """Destroy the keys of personal data."""

    async def erase(self, data_subject: str, reason: str = "") -> ErasureView:
        """Decide to erase. Raises ``NotFound``, or ``Conflict`` (``data_subject_active``) while runs go on.

        Asking again is harmless. ``reason`` stays readable in the ledger.
        """
        body = {"data_subject": data_subject, "reason": reason}
        return await self._transport.post("/v1/erasures", ErasureView, body)

    async def get(self, erasure_id: str) -> ErasureView:
        """How far an erasure is."""
        return await self._transport.get(f"/v1/erasures/{erasure_id}", ErasureView, consistent=False)
