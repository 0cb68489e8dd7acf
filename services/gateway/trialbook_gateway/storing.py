"""What may be done with files, datasets and models: the one way for HTTP and for NATS.

``asker`` is whatever carries the headers of a request.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trialbook.domain import file as files
from trialbook.domain import names, versioned
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict, Invalid, NotFound
from trialbook.handle import fresh
from trialbook.queries import ItemView
from trialbook_gateway.api.items import found, view_of
from trialbook_gateway.belongings import may_refer_to
from trialbook_gateway.idempotency import Headed, Idempotency, command_id, identify, same_request
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.schemas.items import ItemCreate, VersionCreate
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.strictjson import into
from trialbook_gateway.uploads import Received
from trialbook_gateway.versions import Added, add_version

Versioned = Literal["dataset", "model"]
OTHER_FILE = "This Idempotency-Key was used before for another file; use a new key."


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A thing after a command. ``replayed``: the same request was carried out before, and this is its first reply."""

    view: ItemView
    sequence: int
    replayed: bool = False


def identify_file(
    services: Services, caller: Caller, asker: Headed, sha256: str, name: str, labels: dict[str, str]
) -> Idempotency:
    """The id of an upload."""
    asked = [sha256, name, labels]
    return identify(asker, caller.workspace, caller.principal.actor, "files.create", asked, services.ids.new())


async def add_file(
    services: Services, caller: Caller, asked: Idempotency, received: Received, labels: dict[str, str]
) -> Stored:
    """Record stored bytes under a name. Raises ``Conflict`` (code ``idempotency_key_reused``)."""
    aggregate = caller.aggregate("file", asked.id)
    command = files.Upload(
        name=received.name, sha256=received.sha256, size=received.size, media_type=received.media_type, labels=labels,
        command_id=asked.command_id,
    )  # fmt: skip
    outcome = await services.handler.handle(aggregate, command, caller.meta, fresh("file"))
    services.wrote(aggregate, outcome.sequence)
    if not outcome.facts and (outcome.state.name, outcome.state.labels) != (received.name, labels):
        raise Conflict("idempotency_key_reused", OTHER_FILE, id=aggregate.id)
    view = view_of(aggregate, outcome.sequence, outcome.state)
    return Stored(view=view, sequence=outcome.sequence, replayed=not outcome.facts)


async def delete_file(services: Services, caller: Caller, file: str) -> int:
    """Delete a file; the sequence of the fact. Raises ``NotFound``."""
    aggregate, _ = await found(services, caller, "file", file)
    outcome = await services.handler.handle(aggregate, files.Delete(), caller.meta)
    services.wrote(aggregate, outcome.sequence)
    return outcome.sequence


async def create(services: Services, caller: Caller, asker: Headed, kind: Versioned, body: Any) -> Stored:
    """Register a dataset or model from a JSON body. Raises refusals: of the body's form, ``Conflict``."""
    order = into(ItemCreate, body)
    asked = identify(asker, caller.workspace, caller.principal.actor, f"{kind}s.create", body, services.ids.new())
    aggregate = caller.aggregate(kind, asked.id)
    if asked.keyed and (again := await _created(services, aggregate, asked)) is not None:
        return again
    owner = name_aggregate(caller.workspace, kind, order.name)
    command = versioned.Create(
        name=order.name, description=order.description, kind=order.kind, labels=order.labels,
        command_id=asked.command_id, digest=asked.digest,
    )  # fmt: skip
    claim = names.Claim(scope=kind, name=order.name, owner=asked.id)
    outcome, _ = await services.handler.handle_all(
        [(aggregate, command), (owner, claim)], caller.meta, {aggregate: fresh(kind), owner: fresh("name")}
    )
    if not outcome.facts:  # a twin of this request was quicker
        again = await _created(services, aggregate, asked)
        assert again is not None, "a creation without facts was carried out before"
        return again
    services.wrote(aggregate, outcome.sequence)
    return Stored(view=view_of(aggregate, outcome.sequence, outcome.state), sequence=outcome.sequence)


async def _created(services: Services, aggregate: AggregateId, asked: Idempotency) -> Stored | None:
    """The first reply again, when this key was used before. Raises ``Conflict`` (code ``idempotency_key_reused``)."""
    known = await services.handler.load(aggregate)
    if not known.sequence:
        return None
    same_request(known.state.digest, asked, aggregate)
    first = (await services.log.read(aggregate))[0]
    view = view_of(aggregate, first.sequence, _as_created(known.state))
    return Stored(view=view, sequence=first.sequence, replayed=True)


def _as_created(state: versioned.State) -> versioned.State:
    """The state right after creation: a repeated request gets the first reply again."""
    return versioned.State(
        exists=True, name=state.name, description=state.description, kind=state.kind, labels=state.labels,
        created_at=state.created_at, command_id=state.command_id, digest=state.digest,
    )  # fmt: skip


async def version_of(services: Services, caller: Caller, order: VersionCreate) -> versioned.AddVersion:
    """A version of stored bytes. Raises ``Invalid`` (code ``input_not_found``)."""
    contents = {name: await _content(services, caller, name, ref) for name, ref in order.files.items()}
    return versioned.AddVersion(files=contents, metadata=order.metadata, run=order.run or "")


async def _content(services: Services, caller: Caller, name: str, reference: str) -> versioned.Content:
    media_type, sha256 = "application/octet-stream", reference
    if len(reference) == 32:
        file = (await services.handler.load(caller.aggregate("file", reference))).state
        sha256, media_type = (file.sha256, file.media_type) if file.exists and not file.deleted else ("", "")
    elif not await may_refer_to(services, caller, reference):
        sha256 = ""
    stored = await services.blobs.stat(sha256) if sha256 else None
    if stored is None:
        raise Invalid("input_not_found", f"File {name!r}: nothing is stored as {reference}; upload it first.")
    return versioned.Content(sha256=sha256, size=stored.size, media_type=media_type)


async def add(
    services: Services, caller: Caller, asker: Headed, aggregate: AggregateId, command: versioned.AddVersion
) -> Added:
    """Add a version to a dataset or model. Raises as ``add_version``."""
    key = command_id(asker, caller.workspace, caller.principal.actor, f"{aggregate.kind}s.versions", aggregate.id)
    return await add_version(services, caller, aggregate, command, key)


def numbered(kind: Versioned, state: versioned.State, number: int) -> versioned.Version:
    """A version by its number, from 1. Raises ``NotFound`` (code ``version_not_found``)."""
    if not 1 <= number <= len(state.versions):
        raise NotFound("version_not_found", f"This {kind} has {len(state.versions)} versions.")
    return state.versions[number - 1]


def file_of(version: versioned.Version, name: str) -> versioned.Content:
    """A file of a version. Raises ``NotFound`` (code ``file_not_found``)."""
    files_ = version.files
    if name not in files_:
        raise NotFound("file_not_found", f"This version has no file {name[:100]!r}.", known=sorted(files_)[:100])
    return files_[name]


async def delete(services: Services, caller: Caller, kind: Versioned, item: str) -> int:
    """Delete a dataset or model; the sequence of the fact. Raises ``NotFound``."""
    aggregate, state = await found(services, caller, kind, item)
    owner = name_aggregate(caller.workspace, kind, state.name)
    orders: list[tuple[AggregateId, Any]] = [
        (aggregate, versioned.Delete()),
        (owner, names.Release(owner=aggregate.id)),
    ]
    outcome = (await services.handler.handle_all(orders, caller.meta))[0]
    services.wrote(aggregate, outcome.sequence)
    return outcome.sequence
