from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.errors import KINDS
from trialbook_gateway import problems, replies, strictjson
from trialbook_gateway.idempotency import digest_of
from trialbook_gateway.live.items import Position, parse_cursor
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.ranges import disposition, span_of
from trialbook_gateway.schemas.runs import SweepIn

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def outcome(call: Callable[..., Any], *arguments: Any) -> tuple[Any, HttpRefusal | None]:
    """What a call returns, or the refusal that it raises."""
    try:
        return call(*arguments), None
    except HttpRefusal as refusal:
        return None, refusal


@given(st.integers(0, 10**15 - 1), st.integers(0, (1 << 63) - 1))
def test_a_cursor_comes_back_as_it_was(facts: int, signals: int) -> None:
    position = Position(facts, signals)
    assert parse_cursor(str(position)) == position


@given(st.text(max_size=50))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    position, refusal = outcome(parse_cursor, text)
    if refusal is None:
        assert text == "" or parse_cursor(str(position)) == position
    else:
        assert (refusal.status, refusal.code) == (422, "invalid_cursor")


@given(JSON_VALUES)
def test_strict_json_reads_what_json_writes(value: Any) -> None:
    body = json.dumps(value)
    found, refusal = outcome(strictjson.parse, body.encode())
    if refusal is None:
        assert found == json.loads(body)
    else:
        assert refusal.code == "invalid_text"
        assert "\\u0000" in body


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    _, refusal = outcome(strictjson.parse, body)
    assert refusal is None or refusal.status in (400, 422)


@given(JSON_VALUES)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def turned(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: turned(inner[key]) for key in reversed(inner)}
        return [turned(item) for item in inner] if isinstance(inner, list) else inner

    assert digest_of(value) == digest_of(turned(value))


def test_a_digest_depends_on_the_body() -> None:
    assert digest_of({"a": 1}) != digest_of({"a": 2}) != digest_of({"a": "2"})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_refusal_is_a_problem(kind: str) -> None:
    refusal = KINDS[kind]("some_code", "Do this.", errors=[1], status="not mine", retry_after_s=3)
    reply = problems.problem({"type": "http", "state": {"request_id": "r"}}, refusal)
    body = json.loads(bytes(reply.body))
    assert reply.media_type == "application/problem+json"
    assert body["status"] == reply.status_code == problems.STATUS[kind]
    assert (body["code"], body["detail"], body["request_id"]) == ("some_code", "Do this.", "r")
    if kind in ("unavailable", "timed_out", "rate_limited"):
        assert int(reply.headers["retry-after"]) >= 1


def test_an_unexpected_error_says_nothing_about_itself() -> None:
    reply = problems.problem({"type": "http"}, problems.internal(KeyError("/secret/path")))
    assert reply.status_code == 500
    assert b"secret" not in bytes(reply.body)


@given(st.text(max_size=40), st.integers(0, 1000))
def test_any_range_is_inside_or_refused(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        span, refusal = outcome(span_of, text, size)
        assert refusal is None or refusal.status == 416
        assert span is None or 0 <= span[0] < span[1] <= size


@given(st.text(max_size=300))
def test_no_name_breaks_a_header(name: str) -> None:
    value = disposition(name)
    assert value.isascii()
    assert not set(value) & {"\r", "\n", "\x00"}


@given(st.integers(0, 10**14))
def test_an_etag_is_understood_again(sequence: int) -> None:
    from starlette.requests import Request

    for tag in (replies.etag(sequence), replies.etag(sequence, {"done": 1}), f"W/{replies.etag(sequence)}"):
        request = Request({"type": "http", "headers": [(b"if-match", tag.encode())]})
        assert replies.expected_sequence(request) == sequence


def test_a_sweep_varies_in_one_way() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        SweepIn.model_validate({"grid": {"a": [1]}, "list": [{}]})
    with pytest.raises(ValueError, match="exactly one"):
        SweepIn.model_validate({})
