"""Segments in S3-compatible storage, and which storage a url names."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from trialbook.errors import Invalid, Unavailable
from trialbook.ledger.storage import Content, LocalStorage, SegmentStorage, not_stored

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_REGION": "region",
    "AWS_ENDPOINT_URL": "endpoint",
}
"""Environment variable -> option of the client. Nothing of them is ever part of a url, a manifest or a log."""


class ObjectStorage:
    """A bucket, or a folder of one; also any other store that obstore knows."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, name: str, content: Content) -> int:
        """See ``SegmentStorage.put``. Large contents are sent in parts, and seen when the last one has arrived."""
        import obstore

        size = 0

        async def counted(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                yield chunk

        with _told(name, writing=True):
            if isinstance(content, bytes):
                await obstore.put_async(self._store, name, content)
                return len(content)
            await obstore.put_async(self._store, name, counted(content))
        return size

    async def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """See ``SegmentStorage.get``."""
        size = await self.size(name)
        if size is None:
            raise not_stored(name)
        stop = size if end is None else min(end, size)
        if start >= stop:
            return b""
        with _told(name):
            import obstore

            return bytes(await obstore.get_range_async(self._store, name, start=start, end=stop))

    async def size(self, name: str) -> int | None:
        """See ``SegmentStorage.size``."""
        with _told(name):
            import obstore

            try:
                return int((await obstore.head_async(self._store, name))["size"])
            except FileNotFoundError:
                return None

    async def names(self, prefix: str = "") -> list[str]:
        """See ``SegmentStorage.names``."""
        found: list[str] = []
        with _told(prefix):
            import obstore

            async for page in obstore.list(self._store, prefix.rstrip("/") or None):
                found += [one["path"] for one in page]
        return sorted(found)

    async def delete(self, name: str) -> None:
        """See ``SegmentStorage.delete``."""
        if await self.size(name) is not None:
            with _told(name):
                import obstore

                await obstore.delete_async(self._store, name)


class _told:  # noqa: N801 -- a context manager that reads as a sentence
    """Turns the store's errors into refusals. Their texts are left out: they may quote signed requests."""

    def __init__(self, name: str, *, writing: bool = False) -> None:
        self._name, self._writing = name, writing

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            return
        if issubclass(kind, FileNotFoundError):
            if not self._writing:
                raise not_stored(self._name) from None
            raise Unavailable("segment_storage_unavailable", "The storage of segments has no such bucket.") from None
        from obstore.exceptions import BaseError

        if issubclass(kind, (BaseError, OSError)):
            raise Unavailable(
                "segment_storage_unavailable",
                f"The storage of segments did not answer as it should about {self._name!r} ({kind.__name__}).",
            ) from None


def open_storage(location: str, environment: Mapping[str, str]) -> SegmentStorage:
    """The storage at a folder's path, a ``file://`` url or ``s3://bucket/folder``.

    S3: credentials, region and endpoint come from ``AWS_*`` of the environment. Raises ``Invalid``
    (``invalid_storage``) for other urls, ``Unavailable`` (``storage_not_installed``) without the extra ``s3``.
    """
    parts = urlsplit(location)
    if parts.scheme == "file":
        return LocalStorage(Path(unquote(parts.path)))
    if "://" not in location:
        return LocalStorage(Path(location).expanduser().absolute())
    if parts.scheme != "s3" or not parts.hostname:
        raise Invalid("invalid_storage", f"{without_secrets(location)!r} is neither a folder nor s3://bucket/folder.")
    if parts.username or parts.password or parts.query:
        raise Invalid("invalid_storage", "Credentials of S3 come from the environment (AWS_*), not from the url.")
    try:
        from obstore.store import S3Store
    except ImportError:
        raise Unavailable(
            "storage_not_installed", "S3-compatible storage needs another package: pip install 'trialbook[s3]'."
        ) from None
    config: Any = {option: environment[name] for name, option in CREDENTIALS.items() if environment.get(name)}
    plain = str(config.get("endpoint", "")).startswith("http://")
    return ObjectStorage(
        S3Store(
            parts.hostname, prefix=unquote(parts.path).strip("/") or None, config=config,
            client_options={"allow_http": plain},
        )
    )  # fmt: skip


def without_secrets(location: str) -> str:
    """A storage's url as it may be shown and logged."""
    parts = urlsplit(location)
    return location if "://" not in location else f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
