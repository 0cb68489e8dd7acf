"""Stored bytes as HTTP: streamed, with one range, ETag = sha256."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from trialbook.errors import NotFound
from trialbook.ports import BlobStore
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.replies import not_modified

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent: sizes in bytes."""

    sha256: str
    size: int
    media_type: str
    name: str


def span_of(header: str | None, size: int) -> tuple[int, int] | None:
    """``[start, end)`` of a Range header; None: all of it (no header, several ranges, another unit).

    Raises 416 ``range_not_satisfiable``.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found[1] == found[2] == "":
        return None
    first, last = found[1], found[2]
    start, end = (max(0, size - int(last)), size) if not first else (int(first), min(size, int(last or size) + 1))
    if first and last and int(last) < int(first):
        return None
    if start >= end:
        raise HttpRefusal(
            416,
            "range_not_satisfiable",
            f"There are {size} bytes; ask for a part of those.",
            {"Content-Range": f"bytes */{size}"},
            size=size,
        )
    return start, end


def disposition(name: str) -> str:
    """Content-Disposition: always an attachment, so that no browser executes stored bytes."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:120] or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"


async def send_blob(request: Request, blobs: BlobStore, what: Download) -> Response:
    """200, 206 or 304. Raises ``NotFound`` (code ``blob_not_found``) when the bytes are not stored (any more)."""
    tag = f'"{what.sha256}"'
    headers = {
        "ETag": tag, "Accept-Ranges": "bytes", "Content-Disposition": disposition(what.name),
        "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'",
    }  # fmt: skip
    if not_modified(request, tag):
        return Response(None, 304, headers)
    if await blobs.stat(what.sha256) is None:
        raise NotFound("blob_not_found", f"The bytes {what.sha256} are not stored any more.")
    wanted = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        wanted = None
    span = span_of(wanted, what.size)
    start, end = span or (0, what.size)
    headers["Content-Length"] = str(end - start)
    headers["Content-Type"] = what.media_type
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{what.size}"
    status = 200 if span is None else 206
    if request.method == "HEAD":
        return Response(None, status, headers)
    return StreamingResponse(blobs.get(what.sha256, start, end), status, headers)
