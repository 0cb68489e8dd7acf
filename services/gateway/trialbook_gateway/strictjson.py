"""JSON from strangers: no duplicate keys, no NaN, no huge numbers, bounded depth, no NUL and no lone surrogates."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from trialbook_gateway.problems import HttpRefusal, faults_of, invalid, malformed

M = TypeVar("M", bound=BaseModel)
MAX_DEPTH = 64
MAX_DIGITS = 300
_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89abAB])")


class _Fault(ValueError):
    """Raised inside the decoder's hooks; becomes a refusal."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Fault(f"The key {key[:60]!r} stands twice in one object.")
            seen.add(key)
    return found


def _no_constant(text: str) -> NoReturn:
    raise _Fault(f"{text} is not JSON; send null.")


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS + 1:
        raise _Fault(f"A number has more than {MAX_DIGITS} digits.")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Fault("A number is too large for a double.")
    return value


_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_int, parse_float=_float
).decode


def _walk(value: Any, depth: int, max_depth: int) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, dict | list):
        if depth == max_depth:
            raise malformed(f"The JSON is nested more than {max_depth} levels deep.")
        if isinstance(value, dict):
            for key in value:
                check_text(key)
            value = list(value.values())
        for item in value:
            _walk(item, depth + 1, max_depth)


def check_text(text: str) -> str:
    """Refuse NUL and lone surrogates: neither can be stored or sent on. Raises 422 ``invalid_text``."""
    if "\x00" in text:
        raise HttpRefusal(422, "invalid_text", "NUL characters are not allowed in texts.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise HttpRefusal(422, "invalid_text", "Lone surrogates are not allowed in texts.") from None
    return text


def parse(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text. Raises 400 ``malformed_body`` or 422 ``invalid_text``."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise malformed(f"The body is not UTF-8 (byte {error.start}).") from None
    try:
        value = _decode(text)
    except _Fault as fault:
        raise malformed(str(fault)) from None
    except json.JSONDecodeError as error:
        raise malformed(f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise malformed(f"The JSON is nested more than {max_depth} levels deep.") from None
    except ValueError:
        raise malformed("A number in the body cannot be read.") from None
    # Only an escape can carry NUL or a surrogate, and only many brackets can nest deeply: the walk is rare.
    if body.count(b"[") + body.count(b"{") > max_depth or _ESCAPED.search(body):
        _walk(value, 0, max_depth)
    return value


def media_type_of(request: Request) -> str:
    """The media type of the body without parameters, lower case; empty when not given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request) -> Any:
    """The JSON body. Raises 415 unless the content type is JSON (or absent), 400 and 422 as ``parse``."""
    media_type = media_type_of(request)
    if media_type not in ("application/json", "") and not media_type.endswith("+json"):
        raise HttpRefusal(415, "unsupported_media_type", f"Send application/json, not {media_type[:80]!r}.")
    return parse(await request.body())


def into(model: type[M], value: Any) -> M:
    """Validate into a model. Raises 422 ``validation_failed`` with JSON pointers."""
    if not isinstance(value, dict):
        raise invalid([{"pointer": "", "detail": "The body must be a JSON object."}])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(faults_of(error.errors(include_url=False, include_context=False, include_input=False))) from None


async def read_model(request: Request, model: type[M], *, optional: bool = False) -> M:
    """The body as a model; with ``optional`` an absent body is an empty object."""
    if optional and not await request.body():
        return model.model_validate({})
    return into(model, await read_json(request))
