"""Datasets that came over HTTP: named datasets of the ledger, whose versions are snapshots in the blob store."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from trialbook.domain import names
from trialbook.domain import versioned as domain
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict, Invalid, NotFound
from trialbook.queries import PAGE_LIMIT, ItemList, Page
from trialbook_gateway.dialects.marketplace import datasets
from trialbook_gateway.dialects.marketplace.datasets import Datasets, Snapshot
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.services import Caller, Services
from trialbook_marketplace.datasets import DatasetInfo
from trialbook_marketplace.models import Dataset, from_snapshot

KIND, SCOPE, FILE = "marketplace", "dataset", "snapshot.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_page = msgspec.json.Decoder(Page).decode


class StoredDatasets:
    """Beside the datasets in folders, which go first where both have a name."""

    def __init__(self, services: Services, folders: Datasets) -> None:
        self._services, self._folders = services, folders

    async def snapshot(self, caller: Caller, spec: str) -> Snapshot:
        """A dataset of either kind. Raises ``NotFound`` and ``Invalid`` with the documented texts."""
        try:
            return await self._folders.snapshot(spec)
        except NotFound:
            found = await self._latest(caller, spec) if _NAME.fullmatch(spec) else None
            if found is None:
                raise
            return found

    async def dataset(self, caller: Caller, spec: str) -> Dataset:
        """The same, to be computed on."""
        return from_snapshot(msgspec.json.decode((await self.snapshot(caller, spec)).content))

    async def listing(self, caller: Caller) -> list[DatasetInfo]:
        """All datasets by name."""
        found = {info.name: info for info in await self._folders.listing()}
        cursor = ""
        at_least = await self._services.log.last_sequence()
        while True:
            query = ItemList(kind="dataset", limit=PAGE_LIMIT, cursor=cursor, at_least=at_least)
            answer = await self._services.ask.ask(caller.workspace, query, self._services.settings.ask_timeout_s)
            page = _page(answer.result or b"{}")
            for item in page.items:
                state = msgspec.convert(item["data"], domain.State)
                if state.kind == KIND and state.versions:
                    found.setdefault(state.name, _info(item["id"], state))
            if page.next_cursor is None:
                return sorted(found.values(), key=lambda info: info.name)
            cursor = str(page.next_cursor)

    async def save(self, caller: Caller, dataset: Dataset) -> DatasetInfo:
        """Store as the newest version of its name. Raises ``Invalid`` for a bad name, or one that a folder has."""
        if not _NAME.fullmatch(dataset.name):
            raise Invalid("invalid_dataset_name", f"Invalid dataset name '{dataset.name[:200]}'.")
        if any(info.name == dataset.name for info in await self._folders.listing()):
            raise Invalid("dataset_exists", f"Dataset '{dataset.name}' is shipped or in a folder; choose another name.")
        content = msgspec.json.encode(dataset.snapshot())
        sha256 = await datasets.store_bytes(content, self._services.blobs)
        aggregate = await self._named(caller, dataset.name)
        counts = {"customers": len(dataset.customers), "businesses": len(dataset.businesses)}
        files = {FILE: domain.Content(sha256=sha256, size=len(content), media_type="application/json")}
        outcome = await self._services.handler.handle(
            aggregate, domain.AddVersion(files=files, metadata=counts), caller.meta
        )
        self._services.wrote(aggregate, outcome.sequence)
        return _info(aggregate.id, outcome.state)

    async def _named(self, caller: Caller, name: str) -> AggregateId:
        """The dataset of a name, registered if there is none. Raises ``Invalid`` for one that is no marketplace's."""
        owner = name_aggregate(caller.workspace, SCOPE, name)
        aggregate = caller.aggregate("dataset", self._services.ids.new())
        create = domain.Create(name=name, kind=KIND, description="Marketplace dataset")
        claim = names.Claim(scope=SCOPE, name=name, owner=aggregate.id)
        try:
            await self._services.handler.handle_all([(aggregate, create), (owner, claim)], caller.meta)
        except Conflict as conflict:
            if conflict.code != "name_taken":
                raise
        else:
            return aggregate
        state = (await self._services.handler.load(owner)).state
        known = caller.aggregate("dataset", state.owner)
        if (await self._services.handler.load(known)).state.kind != KIND:
            raise Invalid("dataset_exists", f"'{name}' is a dataset of another kind; choose another name.")
        return known

    async def _latest(self, caller: Caller, name: str) -> Snapshot | None:
        owner = str((await self._services.handler.load(name_aggregate(caller.workspace, SCOPE, name))).state.owner)
        if not owner:
            return None
        state: domain.State = (await self._services.handler.load(caller.aggregate("dataset", owner))).state
        if state.kind != KIND or not state.versions or state.deleted:
            return None
        blob = state.versions[-1].files[FILE].sha256
        content = b"".join([chunk async for chunk in self._services.blobs.get(blob)])
        info = _info(owner, state)
        plain: dict[str, Any] = msgspec.json.decode(content)
        return Snapshot(
            name=name, path=info.path, digest=plain["digest"], customers=info.num_customers,
            businesses=info.num_businesses, content=content, signature=(),
        )  # fmt: skip


def _info(id_: str, state: domain.State) -> DatasetInfo:
    version = state.versions[-1]
    counts = version.metadata
    path = f"/v1/datasets/{id_}/versions/{version.number}/files/{FILE}"
    return DatasetInfo(state.name, path, int(counts["businesses"]), int(counts["customers"]))
