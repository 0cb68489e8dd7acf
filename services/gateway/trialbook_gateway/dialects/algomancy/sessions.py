"""Sessions: workspaces in one catalog, which gives them unique names and their order."""

from __future__ import annotations

import contextlib
from typing import Any

from trialbook.codec import fact_of
from trialbook.domain import catalog, workspace
from trialbook.domain.catalog import CatalogState
from trialbook.domain.run import commands
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.errors import Conflict, Forbidden, NotFound, Refusal, Unavailable
from trialbook.handle import Loaded, fresh
from trialbook.ids import derived_id
from trialbook.lanes import lane_aggregate
from trialbook_gateway.auth import Principal
from trialbook_gateway.dialects.algomancy.errors import conflict, not_found
from trialbook_gateway.dialects.algomancy.ids import given
from trialbook_gateway.dialects.algomancy.mirror import SYSTEM, Mirror
from trialbook_gateway.idempotency import Idempotency
from trialbook_gateway.services import SOURCE, Services
from trialbook_gateway.workspaces import aggregate as workspace_aggregate

CATALOG = AggregateId("_algomancy", "catalog", derived_id("algomancy", "sessions"))
"""In a workspace that nobody can name."""
FIRST = "main"
LANE = "algomancy"
"""Every session has one queue for its scenarios."""
MAX_TRIES = 24
UNKEYED = Idempotency(id="", command_id="", digest="")
OURS = Metadata(source=SOURCE, actor="gateway")

Names = dict[str, str]
"""Session id -> display name, in creation order."""


class Sessions:
    """All sessions of the service."""

    def __init__(self, services: Services, mirror: Mirror) -> None:
        self._services, self._mirror = services, mirror

    async def names(self) -> Names:
        """All sessions; there is always one."""
        loaded = await self._load()
        for _ in range(MAX_TRIES):
            if loaded.state.names:
                return loaded.state.names
            with contextlib.suppress(Conflict):  # another gateway was quicker
                await self._add(self._services.ids.new(), FIRST, OURS, UNKEYED, if_empty=True)
            loaded = await self._mirror.newest(CATALOG)
        raise _contention()

    async def visible(self, principal: Principal) -> Names:
        """The sessions that a principal may use."""
        return {id_: name for id_, name in (await self.names()).items() if _open(principal, id_)}

    async def find(self, principal: Principal, text: str) -> tuple[str, str]:
        """Id and display name of the session that a path names, by UUID or by name. Raises 404, ``Forbidden``."""
        found = _named(await self.names(), text)
        if found is None:  # another gateway may have made it just now
            found = _named((await self._mirror.newest(CATALOG)).state.names, text)
        if found is None:
            raise not_found("Session", text)
        principal.may_use(found[0])
        return found

    async def create(self, name: str, meta: Metadata, asked: Idempotency) -> None:
        """Raises 409 for a taken or blank name."""
        checked(name)
        if asked.id in await self.names() and asked.keyed:
            await self._services.handler.handle(_room(asked.id), _opened(name, asked), meta)  # refuses another body
            return
        try:
            await self._add(asked.id, name, meta, asked)
        except Conflict as refusal:
            raise _taken(refusal, name) from None

    async def check_free(self, name: str, asked: Idempotency) -> None:
        """Raises 409 for a taken or blank name, before work is done for nothing."""
        state = (await self._load()).state
        if state.find(checked(name)) not in (None, asked.id):
            raise _exists(name)

    async def rename(self, id_: str, name: str, meta: Metadata) -> None:
        """Raises 404, and 409 for a taken or blank name."""
        checked(name)
        orders = [(CATALOG, catalog.Rename(id=id_, name=name)), (_room(id_), workspace.Rename(title=name))]
        try:
            await self._carry_out(orders, meta)
        except Conflict as refusal:
            raise _taken(refusal, name) from None
        except NotFound:
            raise not_found("Session", id_) from None

    async def delete(self, id_: str, meta: Metadata) -> None:
        """Close a session and end its runs; in place of the last one there is a new one at once. Raises 404."""
        closing: list[tuple[AggregateId, Any]] = [(_room(id_), workspace.Delete())]
        for _ in range(MAX_TRIES):
            names = (await self._load()).state.names
            if id_ not in names:
                raise not_found("Session", id_)
            last = len(names) == 1
            orders = [(CATALOG, catalog.Remove(id=id_, last=last)), *closing]
            if last:
                orders += _orders(self._services.ids.new(), FIRST, UNKEYED)
            try:
                await self._carry_out(orders, meta)
            except (Conflict, NotFound) as refusal:  # others came or went meanwhile
                if refusal.code == "workspace_not_found":  # somebody deleted it as a workspace
                    closing = []
                await self._mirror.newest(CATALOG)
                continue
            await self.end_runs(id_, meta)
            return
        raise _contention()

    async def end_runs(self, id_: str, meta: Metadata) -> None:
        """End what a session executes; who waits goes first, so that nobody is let in."""
        handler = self._services.handler
        places = (await handler.load(lane_aggregate(id_, LANE))).state.places
        for place in reversed(places):
            await handler.handle(AggregateId(id_, "run", place.run), commands.Delete(cancel=True), meta)

    async def removed(self) -> list[str]:
        """Ids of sessions that were deleted."""
        records = await self._services.log.read(CATALOG)
        return [_id_of(r.event) for r in records if r.event.type == catalog.Removed.TYPE]

    async def first(self) -> str:
        """The id of the very first session that the service had; it may be gone."""
        await self.names()
        records = await self._services.log.read(CATALOG)
        return _id_of(records[0].event)

    async def _load(self) -> Loaded[CatalogState]:
        known: Loaded[CatalogState] = await self._mirror.get(CATALOG)
        return known

    async def _add(self, id_: str, name: str, meta: Metadata, asked: Idempotency, *, if_empty: bool = False) -> None:
        await self._carry_out(_orders(id_, name, asked, if_empty=if_empty), meta, {_room(id_): fresh("workspace")})

    async def _carry_out(
        self,
        orders: list[tuple[AggregateId, Any]],
        meta: Metadata,
        known: dict[AggregateId, Loaded[Any]] | None = None,
    ) -> None:
        await self._mirror.carry_out(orders, meta, {CATALOG: await self._load(), **(known or {})})


def checked(name: str) -> str:
    """Raises 409 for a name of blanks only."""
    if not name.strip():
        raise conflict("Session display name must be a non-empty string.")
    return name


def _named(names: Names, text: str) -> tuple[str, str] | None:
    id_ = given(text)
    if id_ not in names:
        id_ = next((known for known, name in names.items() if name == text), None)
    return None if id_ is None else (id_, names[id_])


def _orders(id_: str, name: str, asked: Idempotency, *, if_empty: bool = False) -> list[tuple[AggregateId, Any]]:
    return [(CATALOG, catalog.Add(id=id_, name=name, if_empty=if_empty)), (_room(id_), _opened(name, asked))]


def _opened(name: str, asked: Idempotency) -> workspace.Create:
    return workspace.Create(title=name, labels=SYSTEM, command_id=asked.command_id, digest=asked.digest)


def _room(id_: str) -> AggregateId:
    return workspace_aggregate(id_)


def _open(principal: Principal, id_: str) -> bool:
    try:
        principal.may_use(id_)
    except Forbidden:
        return False
    return True


def _taken(refusal: Conflict, name: str) -> Refusal:
    return _exists(name) if refusal.code == "name_taken" else refusal


def _exists(name: str) -> Refusal:
    return conflict(f"Session '{name}' already exists.")


def _contention() -> Unavailable:
    return Unavailable("contention", "Others keep creating and deleting sessions; try again.")


def _id_of(event: Event) -> str:
    return str(fact_of(event).id)
