"""Hostile and sloppy YAML is refused with a reason, never with a crash."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook_marketplace.yamlsafe import MAX_BYTES, MAX_NODES, YamlError, load_document


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "the file is empty"),
        (b"a: 1\na: 2", "duplicate key 'a' in line 2"),
        (b"a: &x [1]\nb: *x", "aliases are not allowed (line 2)"),
        (b"a: !!python/object:os.system x", "tags are not allowed"),
        (b"<<: {a: 1}\nb: 2", "merge keys are not allowed"),
        (b"[" * 100_000, "nested deeper than"),
        (b"--- 1\n--- 2", "more than one document"),
        (b"a: 2024-99-99", "unreadable value"),
        (b"a: " + b"1" * 10_000, "unreadable value"),
        (b"\xff", "not valid UTF-8 at byte 0"),
        (b"a: [1, 2", "not valid YAML"),
        (b"{[1]: 2}", "unhashable key"),
        (b"a: \x00", "not valid YAML"),
        (b"#" * (MAX_BYTES + 1), "larger than"),
        (b"[" + b"1," * MAX_NODES + b"1]", "more than"),
    ],
)
def test_refused(text: bytes, reason: str) -> None:
    with pytest.raises(YamlError) as refusal:
        load_document(text)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_plain_document() -> None:
    assert load_document("a: 1\nb: [x, 2.5, true]\nc: {é: null}".encode()) == {
        "a": 1,
        "b": ["x", 2.5, True],
        "c": {"é": None},
    }


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_data_or_a_reason(raw: bytes) -> None:
    with contextlib.suppress(YamlError):  # any other exception is a failure
        load_document(raw)
