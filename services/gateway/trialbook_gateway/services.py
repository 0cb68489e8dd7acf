"""Everything the routes work with, in one object that is built at start and closed at the end."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
from fastapi import Request
from nats.aio.client import Client
from starlette.requests import HTTPConnection

from trialbook.blobs.nats import NatsBlobStore
from trialbook.blobs.parts import NatsParts
from trialbook.clock import Clock, SystemClock
from trialbook.envelope import AggregateId, Metadata
from trialbook.handle import Handler, Loaded
from trialbook.ids import IdSource, UUIDv7Source, parse_slug
from trialbook.llm import LlmSettings, llm_settings
from trialbook.log.connect import close, connect
from trialbook.log.nats import NatsEventLog
from trialbook.log.setup import ensure_streams
from trialbook.proofs import LedgerInfo
from trialbook.vault.keys import master_key
from trialbook.vault.ring import KeyRing
from trialbook_gateway.asking import CheckedAsk
from trialbook_gateway.auth import ANONYMOUS, Authenticator, Principal
from trialbook_gateway.data_subjects import HEADER, DataSubjects
from trialbook_gateway.directory import Directory
from trialbook_gateway.intact import ledger_damaged
from trialbook_gateway.live.hub import Hub
from trialbook_gateway.settings import Settings
from trialbook_gateway.telemetry import Telemetry
from trialbook_gateway.unfinished import Unfinished
from trialbook_gateway.validation import Validators
from trialbook_gateway.verdicts import Verdicts
from trialbook_gateway.workspaces import Workspaces
from trialbook_gateway.written import Written

SOURCE = "trialbook/gateway"
CATCH_UP_S = 5.0
WORKSPACE_HEADER = "Trialbook-Workspace"
CREATING = frozenset({"POST", "PUT"})


class Caller(msgspec.Struct, frozen=True):
    """Who asks, in which workspace, and for which request."""

    principal: Principal
    workspace: str
    request_id: str
    traceparent: str
    datakey: str = ""
    """The key of the data subject that the request names for what it creates."""

    @property
    def meta(self) -> Metadata:
        """What the facts of this request say about their cause."""
        return Metadata(
            source=SOURCE, actor=self.principal.actor, correlation=self.request_id, traceparent=self.traceparent,
            datakey=self.datakey,
        )  # fmt: skip

    def taking_over(self, loaded: Loaded[Any]) -> Caller:
        """The caller, who creates something that repeats what a loaded aggregate holds: it stays its data subject's."""
        return self.keeping(loaded.datakey)

    def keeping(self, datakey: str) -> Caller:
        """The caller, whose creations belong to this data subject; without one as it is."""
        return msgspec.structs.replace(self, datakey=datakey) if datakey else self

    def aggregate(self, kind: str, id_: str) -> AggregateId:
        """An aggregate in the caller's workspace."""
        return AggregateId(self.workspace, kind, id_)


class Services:
    """Connections, caches and adapters. ``start`` before and ``close`` after use."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        llm: LlmSettings | None = None,
    ) -> None:
        """``llm`` defaults to the environment's. Raises ``Invalid`` when that cannot be read."""
        self.settings = settings
        self.llm = llm_settings(os.environ) if llm is None else llm
        self.clock: Clock = clock or SystemClock()
        self.ids: IdSource = ids or UUIDv7Source()
        self.authenticator = Authenticator(settings.tokens)
        self.telemetry = Telemetry()
        self.validators = Validators()
        self.written = Written()
        self.started = False

    async def start(self) -> None:
        """Connect, make sure that streams and the default workspace exist, begin to follow. Raises ``Unavailable``."""
        settings = self.settings
        self.nc: Client = await connect(settings.nats_url, name="trialbook-gateway")
        await ensure_streams(self.nc)
        self.keys = KeyRing(self.nc, master_key(os.environ))
        await self.keys.start()
        self.log = NatsEventLog(self.nc, self.keys)
        await self.log.start()
        self.handler = Handler(self.log, self.clock, self.ids, self.log.read_decisive)
        self.ask = CheckedAsk(self.nc, self.written)
        self.blobs = NatsBlobStore(self.nc)
        self.data_subjects = DataSubjects(self.nc, self.keys, self.log, self.handler, self.ask, self.blobs, self.clock)
        self.unfinished = Unfinished(NatsParts(self.nc), self.clock, settings.max_unfinished_bytes)
        self.directory = Directory(self.nc, self.clock)
        self.workspaces = Workspaces(self.nc, self.handler)
        self.verdicts = Verdicts(self.nc)
        self.hub = Hub(self.nc, self.ask, settings, self.telemetry)
        self.hub.start()
        await self.workspaces.ensure(settings.default_workspace, Metadata(source=SOURCE, actor="gateway"))
        await asyncio.gather(self.directory.start(CATCH_UP_S), self.workspaces.start(CATCH_UP_S))
        await self.verdicts.start()
        await self.data_subjects.start()
        self.started = True

    async def close(self) -> None:
        """Stop following, finish what is being written, disconnect."""
        self.started = False
        await self.data_subjects.close()
        await self.hub.close()
        await self.verdicts.close()
        await self.directory.close()
        await self.workspaces.close()
        await self.log.close()
        await self.keys.close()
        await close(self.nc)

    async def caller(self, request: HTTPConnection) -> Caller:
        """Principal and workspace of a request (header or query, default the default workspace).

        Raises ``Invalid``, ``Forbidden``, or ``NotFound`` (code ``workspace_not_found``).
        """
        given = request.headers.get(WORKSPACE_HEADER)
        if given is None:
            given = request.query_params.get("workspace")
        looks_back = request.scope.get("method") == "GET" and bool(request.query_params.get("as_of"))
        named = self.settings.default_workspace if given is None else given
        return await self.caller_in(request, named, deleted=looks_back)

    async def caller_in(self, request: HTTPConnection, workspace: str, *, deleted: bool = False) -> Caller:
        """As ``caller``, in a workspace chosen by a dialect; ``deleted``: one that was deleted may be looked into."""
        parse_slug(workspace, "workspace")
        caller = self.anywhere(request, workspace)
        caller.principal.may_use(workspace)
        await self.workspaces.require(workspace, deleted=deleted)
        return await self.for_data_subject(request, caller)

    async def for_data_subject(self, request: HTTPConnection, caller: Caller) -> Caller:
        """The caller, whose creations hold personal data of the data subject that the request names, if it names one.

        Raises ``Conflict`` (code ``data_subject_erased``), ``Invalid``, ``Unavailable`` without a master key.
        """
        if request.scope.get("method") not in CREATING or HEADER not in request.headers:
            return caller
        key = await self.data_subjects.key_for(request.headers, caller.workspace, caller.meta)
        return msgspec.structs.replace(caller, datakey=key)

    def anywhere(self, request: HTTPConnection, workspace: str = "_") -> Caller:
        """The caller of a route that belongs to no workspace."""
        state = request.scope.get("state", {})
        return Caller(
            state.get("principal", ANONYMOUS), workspace, state.get("request_id", ""), state.get("traceparent", "")
        )

    def damage(self) -> LedgerInfo | None:
        """What is known to be damaged in the ledger; None: nothing."""
        return self.directory.damage() if self.started else None

    def must_be_intact(self) -> None:
        """Raises ``HttpRefusal`` (503 ``ledger_damaged``) when the ledger is known to be damaged."""
        if (info := self.damage()) is not None:
            raise ledger_damaged(info)

    def wrote(self, aggregate: AggregateId, sequence: int) -> None:
        """Note an append, so that it is read here without naming its sequence."""
        self.written.note(aggregate, sequence)
        self.ask.known(sequence)

    def seen_by(self, caller: Caller, kind: str, id_: str, at_least: int) -> int:
        """The sequence that a read must have seen: as asked, and what was written here."""
        return max(at_least, self.written.last(caller.aggregate(kind, id_)))


def services_of(request: HTTPConnection) -> Services:
    """The services of the app that serves a request."""
    services: Services = request.app.state.services
    return services


async def caller_of(request: Request) -> tuple[Services, Caller]:
    """What nearly every route begins with."""
    services = services_of(request)
    return services, await services.caller(request)
