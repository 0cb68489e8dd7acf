"""Datasets of a session: aggregates with versions under the keys of one catalog per session.

A version's metadata says everything but the tables, which are stored bytes; deriving and copying copies no bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from trialbook.domain import catalog, versioned
from trialbook.domain.catalog import CatalogState
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict, NotFound, Unavailable
from trialbook.handle import Loaded
from trialbook.ids import derived_id
from trialbook.queries import RunList
from trialbook_algomancy.data_document import DataClassification, Metadata
from trialbook_gateway.dialects.algomancy.errors import conflict, not_found
from trialbook_gateway.dialects.algomancy.ids import shown
from trialbook_gateway.dialects.algomancy.mirror import SYSTEM, Mirror
from trialbook_gateway.dialects.algomancy.shape import SCENARIO
from trialbook_gateway.reading import seen_in
from trialbook_gateway.services import Caller, Services

KIND = "algomancy"
TABLES = "tables.json"
JSON = "application/json"
DATASET_LABEL = "dataset"
MAX_TRIES = 24
TOGETHER = 200
"""Datasets that are copied in one append."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One version: its metadata, the parameters it declares (name and descriptors, or None), its stored tables, and
    the run that loaded it (``workspace/run``; empty: it came as JSON).
    """

    metadata: Metadata
    declared: dict[str, Any] | None
    sha256: str
    size: int
    load: str = ""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as it is now: the aggregate's id, its key, its newest version."""

    id: str
    key: str
    content: Content
    datakey: str = ""
    """Of the data subject whose data it is."""


class Datasets:
    """Reads and changes the datasets of sessions; the caller's workspace is the session."""

    def __init__(self, services: Services, mirror: Mirror) -> None:
        self._services, self._mirror = services, mirror

    async def keys(self, session: str) -> list[str]:
        """In the order in which they came."""
        return list((await self._load(_catalog(session))).state.names.values())

    async def find(self, session: str, key: str) -> Stored:
        """Raises 404."""
        for load in (self._mirror.get, self._mirror.newest):  # another gateway may have stored it just now
            id_ = (await load(_catalog(session))).state.find(key)
            if id_ is not None and (found := await self._stored(session, id_, key)) is not None:
                return found
        raise not_found("Dataset", key)

    async def put(
        self, caller: Caller, key: str, content: Content, *, new_id: str = "", only_new: bool = False
    ) -> None:
        """Add a version under a key. ``only_new``: 409 when the key is in use."""
        target = _catalog(caller.workspace)
        for _ in range(MAX_TRIES):
            known = await self._load(target)
            id_ = known.state.find(key)
            if id_ is not None and only_new:
                if id_ == new_id:  # the same request once more
                    return
                raise conflict(f"Dataset '{key}' already exists")
            if id_ is not None and await self._loaded_by(caller, id_, content.load):
                return  # the same request once more; the key may have a newer version by now
            orders = _orders(caller, id_ or new_id or self._services.ids.new(), key, content, new=id_ is None)
            try:
                await self._mirror.carry_out(orders, caller.meta, {target: known})
            except (Conflict, NotFound) as refusal:  # somebody took or removed the key meanwhile
                if refusal.code not in ("name_taken", "dataset_not_found"):
                    raise
                await self._mirror.newest(target)
            else:
                return
        raise Unavailable("contention", f"Others keep changing the dataset '{key}'; try again.")

    async def derive(self, caller: Caller, source: Stored, key: str, new_id: str) -> None:
        """A copy under another key with an identity of its own. Raises 409."""
        before = source.content.metadata
        metadata = Metadata(
            shown(new_id), key, DataClassification.DERIVED_DATA, before.creation_datetime, before.tables
        )
        content = msgspec.structs.replace(source.content, metadata=metadata)
        await self.put(caller.keeping(source.datakey), key, content, new_id=new_id, only_new=True)

    async def delete(self, caller: Caller, key: str) -> None:
        """Raises 404, and 409 while a scenario uses it."""
        target = _catalog(caller.workspace)
        known = await self._load(target)
        id_ = known.state.find(key)
        if id_ is None:
            raise not_found("Dataset", key)
        if await self._in_use(caller, id_):
            raise conflict("Cannot delete data used in scenarios.")
        orders = [
            (target, catalog.Remove(id=id_)), (caller.aggregate("dataset", id_), versioned.Delete()),
        ]  # fmt: skip
        try:
            await self._mirror.carry_out(orders, caller.meta, {target: known})
        except NotFound:
            raise not_found("Dataset", key) from None

    async def copy(self, source: str, caller: Caller) -> None:
        """Give the caller's new session all datasets of another one, with the same keys and identities."""
        orders: list[tuple[AggregateId, Any]] = []
        for id_, key in (await self._load(_catalog(source))).state.names.items():
            if (found := await self._stored(source, id_, key)) is not None:
                new_id = derived_id("algomancy-copy", caller.workspace, id_)
                orders += _orders(caller, new_id, key, found.content, new=True)
        each = 3
        for start in range(0, len(orders), TOGETHER * each):
            await self._mirror.carry_out(orders[start : start + TOGETHER * each], caller.meta, {})

    async def document(self, stored: Stored) -> tuple[int, AsyncIterator[bytes]]:
        """The dataset's JSON: its length and its bytes."""
        content = stored.content
        before = b'{"metadata":' + msgspec.json.encode(content.metadata) + b',"tables":'

        async def pieces() -> AsyncIterator[bytes]:
            yield before
            async for piece in self._services.blobs.get(content.sha256):
                yield piece
            yield b"}"

        return len(before) + content.size + 1, pieces()

    async def exists(self, caller: Caller, id_: str) -> bool:
        """Whether the dataset with this id was ever made, deleted ones included."""
        state: versioned.State = (await self._mirror.get(caller.aggregate("dataset", id_))).state
        return state.exists

    async def _loaded_by(self, caller: Caller, id_: str, load: str) -> bool:
        state: versioned.State = (await self._mirror.get(caller.aggregate("dataset", id_))).state
        return any(version.metadata.get("load") == load for version in state.versions)

    async def _stored(self, session: str, id_: str, key: str) -> Stored | None:
        loaded: Loaded[versioned.State] = await self._mirror.get(AggregateId(session, "dataset", id_))
        state = loaded.state
        if not state.versions or state.deleted:
            return None
        version = state.versions[-1]
        if not version.metadata:  # sealed under a key that was erased: there is nothing to show any more
            return None
        file = version.files[TABLES]
        content = msgspec.convert({**version.metadata, "sha256": file.sha256, "size": file.size}, Content)
        return Stored(id=id_, key=key, content=content, datakey=loaded.datakey)

    async def _in_use(self, caller: Caller, id_: str) -> bool:
        query = RunList(
            workload=SCENARIO, dialect=SCENARIO, labels={DATASET_LABEL: id_}, limit=1, brief=True,
            at_least=seen_in(self._services, caller, 0),
        )  # fmt: skip
        answer = await self._services.ask.ask(caller.workspace, query, self._services.settings.ask_timeout_s)
        return bool(msgspec.json.decode(answer.result or b"{}")["items"])

    async def _load(self, target: AggregateId) -> Loaded[CatalogState]:
        known: Loaded[CatalogState] = await self._mirror.get(target)
        return known


def _catalog(session: str) -> AggregateId:
    return AggregateId(session, "catalog", derived_id("algomancy", "datasets", session))


def _orders(caller: Caller, id_: str, key: str, content: Content, *, new: bool) -> list[tuple[AggregateId, Any]]:
    aggregate = caller.aggregate("dataset", id_)
    kept = {"metadata": msgspec.to_builtins(content.metadata), "declared": content.declared, "load": content.load}
    files = {TABLES: versioned.Content(sha256=content.sha256, size=content.size, media_type=JSON)}
    run = content.load.rpartition("/")[2]
    add = (aggregate, versioned.AddVersion(files=files, metadata=kept, run=run))
    if not new:
        return [add]
    listed = (_catalog(caller.workspace), catalog.Add(id=id_, name=key))
    return [listed, (aggregate, versioned.Create(name=key, kind=KIND, labels=SYSTEM)), add]
