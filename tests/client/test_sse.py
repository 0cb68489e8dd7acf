"""Server-sent events: every way of cutting the bytes gives the same events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.client.sse import MAX_EVENT_BYTES, EventTooLarge, Parser, ServerEvent

STREAM = (
    "retry: 250\n: hello\n\n"
    'id: 7\nevent: log\ndata: {"message":"a\u2028b\x85c\x0bd"}\n\n'
    "data: one\r\ndata: two\r\nid: 8\r\n\r\n"
    "event: empty\n\n"
    "data:no blank\rid:9\r\r"
    "data: unfinished\n"
).encode()
EVENTS = [
    ServerEvent("log", '{"message":"a\u2028b\x85c\x0bd"}'.encode(), "7"),
    ServerEvent("message", b"one\ntwo", "8"),
    ServerEvent("message", b"no blank", "9"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_the_cuts_do_not_matter(cuts: list[int]) -> None:
    parser = Parser()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [event for start, end in pairwise(edges) for event in parser.feed(STREAM[start:end])]
    assert found == EVENTS
    assert parser.retry_s == 0.25


def test_byte_by_byte() -> None:
    parser = Parser()
    assert [event for byte in STREAM for event in parser.feed(bytes([byte]))] == EVENTS


def test_an_event_without_end_is_refused() -> None:
    parser = Parser()
    for _ in range(MAX_EVENT_BYTES // 65_536):
        assert parser.feed(b"data: " + b"x" * 65_536 + b"\n") == []
    with pytest.raises(EventTooLarge):
        parser.feed(b"data: " + b"x" * 65_536 + b"\n")


def test_an_id_stays_until_the_next_one() -> None:
    events = Parser().feed(b"id: 3\ndata: a\n\ndata: b\n\n")
    assert [event.id for event in events] == ["3", "3"]
