"""Workspaces: rooms of runs, datasets, files and models that see nothing of one another."""

from __future__ import annotations

from collections.abc import Mapping

from trialbook.client.resource import Resource
from trialbook.client.results import Results, WorkspaceView


class Workspaces(Resource):
    """All workspaces that the token opens; the client itself works in one (``AsyncClient(workspace=...)``)."""

    async def create(
        self, workspace: str, *, title: str = "", labels: Mapping[str, str] | None = None, key: str | None = None
    ) -> WorkspaceView:
        """A new one; its id is 1 to 63 of a-z, 0-9, ``-`` and ``_``. Raises ``Conflict`` when it is in use."""
        body = {"id": workspace, "title": title, "labels": dict(labels or {})}
        return await self._transport.post("/v1/workspaces", WorkspaceView, body, key=key)

    async def list_all(self) -> list[WorkspaceView]:
        """All of them in the order of their creation."""
        return (await self._transport.get("/v1/workspaces", Results[WorkspaceView], consistent=False)).items

    async def get(self, workspace: str) -> WorkspaceView:
        """One by its id."""
        return await self._transport.get(f"/v1/workspaces/{workspace}", WorkspaceView, consistent=False)

    async def delete(self, workspace: str) -> None:
        """Close it: it takes nothing new and is no longer listed; its facts stay."""
        await self._transport.delete(f"/v1/workspaces/{workspace}")
