"""The marketplace's API as its commands use it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote

from trialbook_deploy.commands.kit import with_client

if TYPE_CHECKING:
    from trialbook.client import AsyncClient
    from trialbook.client.transport import Transport

T = TypeVar("T")
ROOT = "/marketplace/api"
COMPUTING_S = 300.0
"""How long an analysis of a large experiment may take."""


class Market:
    """The experiments of one workspace. Everything raises the refusals of the service."""

    def __init__(self, client: AsyncClient, transport: Transport) -> None:
        self.client, self._transport = client, transport

    @property
    def url(self) -> str:
        """Address of the gateway."""
        return self.client.url

    async def datasets(self) -> list[dict[str, Any]]:
        """All datasets by name."""
        return await self._get(f"{ROOT}/datasets", list[dict[str, Any]])

    async def upload(self, name: str, archive: bytes) -> dict[str, Any]:
        """Store a dataset given as a ZIP archive."""
        headers = {"Content-Type": "application/octet-stream"}
        reply = await self._transport.send(
            "POST", f"{ROOT}/datasets/archive", query={"name": name}, content=lambda: archive, headers=headers
        )
        found: dict[str, Any] = reply.json()
        return found

    async def launch(self, order: dict[str, Any]) -> dict[str, Any]:
        """Launch an experiment; its first status."""
        return await self._transport.post(f"{ROOT}/experiments", dict[str, Any], order)

    async def status(self, name: str) -> dict[str, Any]:
        """How it stands."""
        return await self._get(f"{ROOT}/experiments/{_part(name)}/status", dict[str, Any])

    async def run_id(self, name: str) -> str:
        """The id of the run that bears the name."""
        runs = await self._get(f"{ROOT}/experiments/{_part(name)}/runs", list[dict[str, Any]])
        return str(next(run["id"] for run in runs if run["current"]))

    async def experiments(self, limit: int | None) -> list[dict[str, Any]]:
        """Newest first."""
        return await self._get(f"{ROOT}/experiments", list[dict[str, Any]], {"limit": limit})

    async def report(self, name: str, what: str, **query: Any) -> dict[str, Any]:
        """``analytics``, ``audit`` or ``traces``."""
        return await self._get(f"{ROOT}/experiments/{_part(name)}/{what}", dict[str, Any], query)

    async def export(self, name: str, file_format: str, path: Path) -> int:
        """Write the history to a file, which appears when it is whole; its size in bytes."""
        query = {"format": file_format}
        partial = path.with_name(path.name + ".partial")
        async with self._transport.stream(f"{ROOT}/experiments/{_part(name)}/export", query=query) as response:
            with partial.open("wb") as stream:
                async for chunk in response.aiter_bytes():
                    stream.write(chunk)
                size = stream.tell()
        partial.replace(path)
        return size

    async def _get(self, path: str, reply: type[T], query: dict[str, Any] | None = None) -> T:
        from trialbook.client.transport import decoded

        return decoded(await self._transport.send("GET", path, query=query, patience_of_read_s=COMPUTING_S), reply)


def with_market(
    url: str | None,
    data_dir: Path | None,
    workspace: str | None,
    work: Callable[[Market], Coroutine[Any, Any, int]],
    on_interrupt: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Run ``work`` with the stack that the options name, and exit with its code."""

    async def connected(client: AsyncClient) -> int:
        from trialbook.client.transport import Transport

        token, room = os.environ.get("TRIALBOOK_TOKEN", ""), workspace or os.environ.get("TRIALBOOK_WORKSPACE", "")
        transport = Transport(client.url, token=token, workspace=room)
        try:
            return await work(Market(client, transport))
        finally:
            await transport.close()

    with_client(url, data_dir, workspace, connected, on_interrupt)


async def written(what: Awaitable[int], path: Path) -> int:
    """A file being written; an error of the disk becomes a message. Raises ``DeployError``."""
    from trialbook_deploy.errors import DeployError

    try:
        return await what
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}.") from error


def _part(name: str) -> str:
    return quote(name, safe="")
