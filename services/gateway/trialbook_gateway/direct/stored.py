"""Verbs of files, datasets and models, with uploads in parts: a message holds less than a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

import msgspec
from pydantic import Field

from trialbook.blobs.parts import MAX_PARTS, PART_BYTES, NatsParts
from trialbook.domain.versioned import Version
from trialbook.errors import Invalid, TooLarge
from trialbook.ids import derived_id
from trialbook.queries import ItemView
from trialbook_gateway import storing
from trialbook_gateway.api.items import found
from trialbook_gateway.direct.verb import Carried, Command, ItemId, Verb, Which
from trialbook_gateway.schemas.base import Body, Labels, Sha256
from trialbook_gateway.schemas.items import FileName, ItemCreate, VersionCreate
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.storing import Versioned
from trialbook_gateway.strictjson import into
from trialbook_gateway.uploads import DEFAULT_TYPE, Received, checked_name, checked_type, verified

UploadId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_UPLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,4}")


class UploadIn(Body):
    """A file of parts that were sent before as ``file.part.<upload>.<number>``, numbers from 0; size in bytes."""

    upload: UploadId
    parts: Annotated[int, Field(ge=0, le=MAX_PARTS)]
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256
    name: FileName
    media_type: Annotated[str, Field(max_length=201)] = DEFAULT_TYPE
    labels: Annotated[Labels, Field(default_factory=dict)]


class AbortIn(Body):
    """Which upload is given up."""

    upload: UploadId


class VersionIn(VersionCreate):
    """Which dataset or model gets the version."""

    id: ItemId


class VersionView(Version, frozen=True, kw_only=True, omit_defaults=True):
    """A version of a dataset or model: file name -> content."""


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A part that was taken; ``size`` in bytes, ``sha256`` of this part."""

    number: int
    size: int
    sha256: str


def _upload_id(caller: Caller, upload: str) -> str:
    """Under which its parts are: nobody else's upload of the same name is there."""
    return derived_id(caller.workspace, caller.principal.actor, "uploads", upload)


async def _part(services: Services, command: Command) -> Carried:
    upload, number = command.arguments
    data: bytes = command.body
    if not _UPLOAD.fullmatch(upload):
        raise Invalid("invalid_upload", "An upload is called by 1 to 64 letters, digits, - and _.")
    if not _NUMBER.fullmatch(number) or int(number) >= MAX_PARTS:
        raise Invalid("invalid_number", f"Parts are numbered from 0 to {MAX_PARTS - 1}.")
    if not data:
        raise Invalid("empty_part", "A part has at least one byte; a file without any has no parts.")
    if len(data) > PART_BYTES:
        raise TooLarge("part_too_large", f"A part has at most {PART_BYTES} bytes.", max_bytes=PART_BYTES)
    await services.unfinished.put(command.caller.workspace, _upload_id(command.caller, upload), int(number), data)
    return Carried(result=PartView(number=int(number), size=len(data), sha256=hashlib.sha256(data).hexdigest()))


async def _upload(services: Services, command: Command) -> Carried:
    order, caller = into(UploadIn, command.body), command.caller
    name = checked_name(order.name)
    asked = storing.identify_file(services, caller, command, order.sha256, name, order.labels)
    media_type = checked_type(order.media_type)
    received = Received(name=name, sha256=order.sha256, size=order.size, media_type=media_type)
    if not (asked.keyed and (await services.handler.load(caller.aggregate("file", asked.id))).sequence):
        await _assemble(services, caller, order)
    stored = await storing.add_file(services, caller, asked, received, order.labels)
    return Carried(result=stored.view, sequence=stored.sequence, replayed=stored.replayed)


async def _assemble(services: Services, caller: Caller, order: UploadIn) -> None:
    """Make the parts a blob. Raises ``TooLarge``, 422 ``digest_mismatch`` or ``size_mismatch``; then the parts stay."""
    upload = _upload_id(caller, order.upload)
    most = services.settings.max_upload_bytes
    if order.size > most:
        raise TooLarge("too_large", f"At most {most} bytes are accepted here.", max_bytes=most)
    chunks = _sized(NatsParts(services.nc).read(caller.workspace, upload, order.parts), order.size)
    await services.blobs.put(verified(chunks, order.sha256), max_bytes=most)
    await services.unfinished.remove(caller.workspace, upload)


async def _sized(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Pass chunks on; a wrong size is raised before the store can finish, so that nothing is kept."""
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        yield chunk
    if received != size:
        raise Invalid("size_mismatch", f"The parts have {received} bytes, not {size}.", received=received)


async def _abort(services: Services, command: Command) -> Carried:
    order = into(AbortIn, command.body)
    await services.unfinished.remove(command.caller.workspace, _upload_id(command.caller, order.upload))
    return Carried()


async def _delete_file(services: Services, command: Command) -> Carried:
    return Carried(sequence=await storing.delete_file(services, command.caller, into(Which, command.body).id))


async def _create(kind: Versioned, services: Services, command: Command) -> Carried:
    stored = await storing.create(services, command.caller, command, kind, command.body)
    return Carried(result=stored.view, sequence=stored.sequence, replayed=stored.replayed)


async def _add(kind: Versioned, services: Services, command: Command) -> Carried:
    order = into(VersionIn, command.body)
    aggregate, _ = await found(services, command.caller, kind, order.id)
    version = await storing.version_of(services, command.caller, order)
    added = await storing.add(services, command.caller, command, aggregate, version)
    view = VersionView(**msgspec.structs.asdict(added.version))
    return Carried(result=view, sequence=added.sequence, replayed=added.replayed)


async def _delete(kind: Versioned, services: Services, command: Command) -> Carried:
    item = into(Which, command.body).id
    return Carried(sequence=await storing.delete(services, command.caller, kind, item))


def _versioned(kind: Versioned) -> dict[str, Verb]:
    added = f"Add a version of stored bytes to a {kind}."
    return {
        f"{kind}.create": Verb(partial(_create, kind), ItemCreate, ItemView, f"Register a {kind}."),
        f"{kind}.version": Verb(partial(_add, kind), VersionIn, VersionView, added),
        f"{kind}.delete": Verb(partial(_delete, kind), Which, None, f"Delete a {kind}; its name is free.", seals=False),
    }


_PART_OF = ("upload", "number")
VERBS: dict[str, Verb] = {
    "file.part": Verb(_part, None, PartView, f"Send a part of at most {PART_BYTES} bytes.", _PART_OF, seals=False),
    "file.upload": Verb(_upload, UploadIn, ItemView, "Make the parts of an upload a file."),
    "file.abort": Verb(_abort, AbortIn, None, "Forget the parts of an upload.", seals=False),
    "file.delete": Verb(_delete_file, Which, None, "Delete a file.", seals=False),
    **_versioned("dataset"),
    **_versioned("model"),
}
