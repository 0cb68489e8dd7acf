"""Replies of the native API: raw JSON passed through, ETags, sequences, pages with Link headers."""

from __future__ import annotations

import re
import zlib
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trialbook.envelope import OptionalRaw
from trialbook.errors import PreconditionFailed
from trialbook.queries import Answer
from trialbook_gateway.idempotency import Headed
from trialbook_gateway.problems import HttpRefusal

SEQUENCE = "Trialbook-Sequence"
JSON = "application/json"
_TAG = re.compile(r'(?:W/)?"(\d{1,15})(?:-[0-9a-f]{1,8})?"')
_ENCODER = msgspec.json.Encoder()


class Brief(msgspec.Struct):
    """The few members of a RunView that the gateway itself reads."""

    sequence: int
    status: str
    progress: OptionalRaw = None


class PageHead(msgspec.Struct):
    """What a Link header needs of a page."""

    next_cursor: Any = None


brief = msgspec.json.Decoder(Brief).decode
page_head = msgspec.json.Decoder(PageHead).decode


def encode(value: Any) -> bytes:
    """JSON of structs and plain values."""
    return _ENCODER.encode(value)


def raw(body: bytes, status: int = 200, headers: dict[str, str] | None = None, media_type: str = JSON) -> Response:
    """Bytes as they are."""
    return Response(body, status, headers, media_type)


def json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A struct or plain value as JSON."""
    return raw(encode(value), status, headers)


def result_of(answer: Answer) -> bytes:
    """The raw JSON of an answer."""
    return bytes(answer.result) if answer.result is not None else b"null"


def etag(sequence: int, progress: Any = None) -> str:
    """The tag of a run: its last sequence, and a checksum of its progress, which changes without a fact."""
    if progress is None:
        return f'"{sequence}"'
    text = bytes(progress) if isinstance(progress, msgspec.Raw) else encode(progress)
    return f'"{sequence}"' if text == b"null" else f'"{sequence}-{zlib.crc32(text):x}"'


def not_modified(request: Request, tag: str) -> bool:
    """Whether ``If-None-Match`` names this tag."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    return given.strip() == "*" or tag in [part.strip().removeprefix("W/") for part in given.split(",")]


def expected_sequence(request: Headed) -> int | None:
    """The sequence that ``If-Match`` demands; None: any. Raises 422 ``invalid_etag`` for what is no tag of ours."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    found = _TAG.fullmatch(given.strip())
    if found is None:
        raise HttpRefusal(422, "invalid_etag", "If-Match takes one ETag of this resource, or *.")
    return int(found[1])


def must_match(expected: int | None, sequence: int) -> None:
    """Raises ``PreconditionFailed`` (code ``changed_meanwhile``) when the sequence is another one."""
    if expected is not None and expected != sequence:
        raise PreconditionFailed(
            "changed_meanwhile", "It was changed since you read it; read it again and decide.", sequence=sequence
        )


def page(request: Request, answer: Answer, parameter: str = "cursor") -> Response:
    """A page as the projector gave it, with ``Link: rel="next"`` when there is one."""
    body = result_of(answer)
    headers = {SEQUENCE: str(answer.facts)}
    cursor = page_head(body).next_cursor
    if cursor is not None:
        headers["Link"] = next_link(request, parameter, str(cursor))
    return raw(body, headers=headers)


def next_link(request: Request, parameter: str, cursor: str) -> str:
    """The Link header of the next page."""
    query = [(key, value) for key, value in request.query_params.multi_items() if key != parameter]
    return f'<{request.url.path}?{urlencode([*query, (parameter, cursor)])}>; rel="next"'


def accepts(request: Request, *media_types: str) -> str:
    """The first of ``media_types`` that ``Accept`` names, in the client's order; the first one for anything else."""
    given = request.headers.get("accept", "")
    if not given or given == "*/*":
        return media_types[0]
    wanted = [part.partition(";") for part in given.split(",")]
    ranked = sorted(wanted, key=lambda part: -_quality(part[2]))
    for name, _, _parameters in ranked:
        if name.strip().lower() in media_types:
            return name.strip().lower()
    return media_types[0]


def _quality(parameters: str) -> float:
    found = re.search(r"q=([01](?:\.\d{0,3})?)", parameters)
    return float(found[1]) if found else 1.0
