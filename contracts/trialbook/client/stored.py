"""Files, datasets and models: bytes in the service's store, uploaded and fetched in streams."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trialbook.client.pages import every
from trialbook.client.resource import Resource
from trialbook.client.results import Results
from trialbook.client.transfer import Download, Source, chunks, save, sha256_of, size_of
from trialbook.client.transport import IDEMPOTENCY_KEY, decoded
from trialbook.domain.versioned import Version
from trialbook.errors import Invalid, NotFound
from trialbook.queries import ItemView

DEFAULT_TYPE = "application/octet-stream"
LIST_LIMIT = 200


class Files(Resource):
    """Uploaded files; give their sha256 or id as a run's input."""

    async def upload(
        self,
        source: Path | str | bytes,
        *,
        name: str = "",
        media_type: str = "",
        labels: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> ItemView:
        """Store a file (a path) or bytes (then ``name`` is needed); ``data["sha256"]`` of the reply names the content.

        It is streamed with its sha256, which the service checks; a broken upload is sent again.
        """
        content, called = _source(source, name)
        kind = media_type or mimetypes.guess_type(called)[0] or DEFAULT_TYPE
        headers = {
            IDEMPOTENCY_KEY: key or self._transport.new_key(),
            "Content-Type": kind,
            "Content-Length": str(size_of(content)),
            "X-Checksum-Sha256": await sha256_of(content),
        }
        query = {"name": called, "label": [f"{label}:{value}" for label, value in (labels or {}).items()]}
        response = await self._transport.send(
            "POST", "/v1/files", query=query, content=lambda: chunks(content), headers=headers
        )
        return decoded(response, ItemView)

    async def page(self, *, search: str = "", limit: int = 100, cursor: str | int | None = None) -> Results[ItemView]:
        """One page of files in the order of their upload; ``search`` is a part of the name."""
        query = {"q": search, "limit": limit, "cursor": cursor}
        return await self._transport.get("/v1/files", Results[ItemView], query)

    def iterate(self, *, search: str = "") -> AsyncIterator[ItemView]:
        """All files."""
        return every(lambda cursor: self.page(search=search, limit=LIST_LIMIT, cursor=cursor))

    async def get(self, file: str) -> ItemView:
        """One file's record by its id: name, size, sha256, labels in ``data``."""
        return await self._transport.get(f"/v1/files/{file}", ItemView)

    async def download(self, file: str, to: Path | str) -> Path:
        """Fetch a file's bytes into ``to`` (a directory keeps its name), checked by their sha256."""
        record = await self.get(file)
        return await save(self._pieces(record), Path(to), str(record.data["name"]))

    async def read(self, file: str) -> bytes:
        """A small file as bytes, checked by their sha256."""
        return b"".join([piece async for piece in self._pieces(await self.get(file))])

    async def delete(self, file: str) -> None:
        """Take it out of the lists. Runs that have it as input keep it."""
        await self._transport.delete(f"/v1/files/{file}")

    def _pieces(self, record: ItemView) -> AsyncIterator[bytes]:
        return Download(self._transport, f"/v1/files/{record.id}/content", str(record.data["sha256"])).chunks()


def _source(source: Path | str | bytes, name: str) -> tuple[Source, str]:
    if isinstance(source, bytes):
        if not name:
            raise Invalid("name_missing", "Give a name for the bytes: upload(data, name='table.csv').")
        return source, name
    path = Path(source)
    return path, name or path.name


class Versioned(Resource):
    """Named things with immutable versions of files."""

    KIND: str

    async def create(
        self, name: str, *, description: str = "", kind: str = "", labels: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> ItemView:  # fmt: skip
        """Register it without versions; ``kind`` says in your words what its files are. The name must be free."""
        body = {"name": name, "description": description, "kind": kind, "labels": dict(labels or {})}
        return await self._transport.post(self._path(), ItemView, body, key=key)

    async def add_version(
        self,
        item: str,
        files: Mapping[str, Path | str | bytes],
        *,
        metadata: dict[str, Any] | None = None,
        run: str | None = None,
    ) -> Version:
        """Upload ``files`` (name -> path or bytes) and make them a new, immutable version; ``run`` produced it."""
        uploads = Files(self._transport)
        stored = {name: (await uploads.upload(source, name=name)).data["sha256"] for name, source in files.items()}
        return await self.add_version_of(item, stored, metadata=metadata, run=run)

    async def add_version_of(
        self, item: str, files: Mapping[str, str], *, metadata: dict[str, Any] | None = None, run: str | None = None
    ) -> Version:
        """A new version of bytes that are stored already: name -> sha256 or file id.

        Not repeated by itself after a lost connection, because a repeat would be one more version.
        """
        body = {"files": dict(files), "metadata": metadata or {}, "run": run}
        return await self._transport.post_once(self._path(item, "versions"), Version, body)

    async def page(self, *, search: str = "", limit: int = 100, cursor: str | int | None = None) -> Results[ItemView]:
        """One page in the order of creation; ``search`` is a part of the name."""
        query = {"q": search, "limit": limit, "cursor": cursor}
        return await self._transport.get(self._path(), Results[ItemView], query)

    def iterate(self, *, search: str = "") -> AsyncIterator[ItemView]:
        """All of them."""
        return every(lambda cursor: self.page(search=search, limit=LIST_LIMIT, cursor=cursor))

    async def get(self, item: str) -> ItemView:
        """One by its id, with its versions in ``data``."""
        return await self._transport.get(self._path(item), ItemView)

    async def versions(self, item: str) -> list[Version]:
        """All versions, the oldest first."""
        return (await self._transport.get(self._path(item, "versions"), Results[Version], consistent=False)).items

    async def download(self, item: str, to: Path | str, *, version: int | None = None) -> list[Path]:
        """Fetch all files of a version (the newest by default) into the directory ``to``, checked by their sha256."""
        versions = await self.versions(item)
        if not versions or (version or 0) > len(versions):
            raise NotFound("version_not_found", f"{self.KIND} {item} has {len(versions)} versions.")
        chosen = versions[(version or len(versions)) - 1]
        paths: list[Path] = []
        for name, content in sorted(chosen.files.items()):
            path = self._path(item, "versions", str(chosen.number), "files", name)
            paths.append(await save(Download(self._transport, path, content.sha256).chunks(), Path(to), name))
        return paths

    async def delete(self, item: str) -> None:
        """Take it out of the lists and free its name."""
        await self._transport.delete(self._path(item))

    def _path(self, *parts: str) -> str:
        return "/".join((f"/v1/{self.KIND}s", *(quote(part, safe="") for part in parts)))


class Datasets(Versioned):
    """Data that runs read."""

    KIND = "dataset"


class Models(Versioned):
    """What runs have learnt."""

    KIND = "model"
