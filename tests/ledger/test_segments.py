import gzip
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.ledger.segments import (
    BLOCK_MESSAGES,
    Damaged,
    block_messages,
    decode_line,
    encode_line,
    message_id,
    messages_of,
    segment_of,
    with_id,
)
from trialbook.log.tail import Message

NOW = "2026-01-01T00:00:00.000000Z"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
PAYLOADS = st.one_of(
    st.binary(),
    JSON.map(msgspec.json.encode),
    JSON.map(lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2)),
    st.sampled_from([b"", b" {}", b'{"a":1}\n', b'{"a":"\x00"}', b'"\xff"', b"[" * 5000, b"{}{}", b"nul", b"\x7f"]),
)
IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


def messages(payloads: list[bytes], first: int = 1, ids: list[str] | None = None) -> list[Message]:
    made = [Message(first + n, f"fact.main.run.{n:032x}.started", p, 1_700_000_000_000_000_000 + n)
            for n, p in enumerate(payloads)]  # fmt: skip
    return [with_id(m, i) if i else m for m, i in zip(made, ids or [""] * len(made), strict=True)]


@given(st.integers(1, 2**53), st.text(), PAYLOADS, st.integers(0, 2**62), IDS)
def test_a_line_gives_the_message_back(sequence: int, subject: str, payload: bytes, time_ns: int, id_: str) -> None:
    message = Message(sequence, subject, payload, time_ns)
    line = encode_line(with_id(message, id_) if id_ else message)
    assert b"\n" not in line
    msgspec.json.decode(line)
    back = decode_line(line)
    assert (back.sequence, back.subject, back.data, back.time_ns) == (sequence, subject, payload, time_ns)
    assert message_id(back) == id_


@given(st.lists(PAYLOADS, min_size=1, max_size=30))
def test_a_segment_gives_its_messages_back(payloads: list[bytes]) -> None:
    written = messages(payloads, 7)
    segment, content = segment_of(written, "x", NOW)
    assert messages_of(segment, content) == written
    assert segment_of(written, "x", NOW)[1] == content
    assert len(gzip.decompress(content).splitlines()) == len(payloads)


def test_facts_are_readable_in_place() -> None:
    line = encode_line(messages([b'{"type":"run.started.v1","data":{"a":1}}'])[0])
    assert msgspec.json.decode(line)["data"]["data"] == {"a": 1}


def test_a_block_is_read_alone() -> None:
    written = messages([b'{"n":%d}' % n for n in range(3 * BLOCK_MESSAGES // 2)])
    segment, content = segment_of(written, "x", NOW)
    [(first, start), (second, middle)] = segment.blocks
    assert (first, start, second) == (1, 0, BLOCK_MESSAGES + 1)
    assert block_messages(content[middle:], "x") == written[BLOCK_MESSAGES:]


def test_every_changed_byte_is_noticed() -> None:
    segment, content = segment_of(messages([b'{"a":%d}' % n for n in range(20)]), "x", NOW)
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(Damaged):
            messages_of(segment, changed)


def test_truncation_and_reordering_are_noticed_with_a_forged_digest() -> None:
    written = messages([b"{}", b"[]", b"1"])
    segment, _ = segment_of(written, "x", NOW)
    for forged in ([written[0], written[2]], [written[0], written[2], written[1]], written[:2]):
        content = gzip.compress(b"\n".join((*map(encode_line, forged), b"")), 2, mtime=0)
        lying = msgspec.structs.replace(segment, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        with pytest.raises(Damaged):
            messages_of(lying, content)
