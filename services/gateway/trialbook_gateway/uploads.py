"""Bytes coming in: a raw body or multipart, streamed to the blob store, counted and checked against a given digest."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator

import msgspec
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from trialbook.errors import Invalid
from trialbook_gateway.problems import HttpRefusal, malformed
from trialbook_gateway.services import Services
from trialbook_gateway.strictjson import check_text, media_type_of

CHUNK_BYTES = 256 * 1024
MAX_PARTS = 1000
UNNAMED = "unnamed"
DEFAULT_TYPE = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
_FILENAME = re.compile(r'filename="?([^";]+)"?', re.IGNORECASE)
_STRUCTURED = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")
_PLAIN = re.compile(r"sha-256=([A-Za-z0-9+/=]+)", re.IGNORECASE)


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """Stored bytes and how the client calls them; ``size`` in bytes."""

    name: str
    sha256: str
    size: int
    media_type: str


def checked_name(name: str) -> str:
    """A file name without path. Raises ``Invalid`` (code ``invalid_file_name``)."""
    check_text(name)
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise Invalid("invalid_file_name", "A file name has 1 to 255 characters, no slash and no control characters.")
    return name


def checked_type(media_type: str) -> str:
    """A media type that may be given back in a header; anything odd becomes octets."""
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else DEFAULT_TYPE


def expected_digest(request: Request) -> str | None:
    """The sha256 that the client announced, as hex. Raises 400 ``malformed_digest``."""
    if (plain := request.headers.get("x-checksum-sha256")) is not None:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", plain.strip()):
            raise HttpRefusal(400, "malformed_digest", "X-Checksum-Sha256 takes 64 hexadecimal digits.")
        return plain.strip().lower()
    for header, form in (("content-digest", _STRUCTURED), ("digest", _PLAIN)):
        found = form.search(request.headers.get(header, ""))
        if found is None:
            continue
        try:
            digest = base64.b64decode(found[1], validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != 32:
            raise HttpRefusal(400, "malformed_digest", f"{header.title()} is not the base64 of a sha-256.")
        return digest.hex()
    return None


async def verified(chunks: AsyncIterator[bytes], expected: str | None) -> AsyncIterator[bytes]:
    """Pass chunks on; a wrong digest is raised before the store can finish, so that nothing is kept."""
    digest = hashlib.sha256()
    async for chunk in chunks:
        if expected is not None:
            digest.update(chunk)
        yield chunk
    if expected is not None and digest.hexdigest() != expected:
        raise HttpRefusal(
            422, "digest_mismatch", "The bytes received do not have the announced sha256; send them again.",
            expected=expected, received=digest.hexdigest(),
        )  # fmt: skip


async def receive_raw(request: Request, services: Services, name: str) -> Received:
    """The body as one file; the name comes from the query or from Content-Disposition."""
    if not name:
        found = _FILENAME.search(request.headers.get("content-disposition", ""))
        name = found[1] if found else UNNAMED
    checked_name(name)
    try:
        stored = await services.blobs.put(
            verified(request.stream(), expected_digest(request)), max_bytes=services.settings.max_upload_bytes
        )
    except ClientDisconnect:
        raise malformed("The upload ended early; nothing was stored.") from None
    media_type = checked_type(media_type_of(request) or DEFAULT_TYPE)
    return Received(name=name, sha256=stored.sha256, size=stored.size, media_type=media_type)


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


async def receive_form(request: Request, services: Services) -> tuple[list[Received], dict[str, str]]:
    """All files of a multipart body, and its plain fields. Raises 400 for a malformed form."""
    found: list[Received] = []
    fields: dict[str, str] = {}
    expected = request.headers.get("x-checksum-sha256") and expected_digest(request)
    try:
        async with request.form(max_files=MAX_PARTS, max_fields=64) as form:
            for key, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    fields[check_text(key)] = check_text(value)
                    continue
                name = checked_name((value.filename or "").replace("\\", "/").rsplit("/", 1)[-1])
                pieces = verified(_pieces(value), expected or None)
                stored = await services.blobs.put(pieces, max_bytes=services.settings.max_upload_bytes)
                media_type = checked_type((value.content_type or DEFAULT_TYPE).partition(";")[0].strip())
                found.append(Received(name=name, sha256=stored.sha256, size=stored.size, media_type=media_type))
    except MultiPartException as error:
        raise malformed(f"The multipart body cannot be read: {error.message}") from None
    except ClientDisconnect:
        raise malformed("The upload ended early.") from None
    if not found:
        raise Invalid("no_file", "The multipart body has no file part; send one with a file name.")
    return found, fields


def is_form(request: Request) -> bool:
    """Whether the body is multipart."""
    return media_type_of(request) == "multipart/form-data"
