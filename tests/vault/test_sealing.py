"""Personal members of facts: sealed, opened, and readable without the key."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.aggregates import EVENT_TYPES
from trialbook.codec import decode_event, encode, fact_of
from trialbook.envelope import PERSONAL_KINDS, Event
from trialbook.errors import Unavailable
from trialbook.vault.keys import KEY_BYTES, Lost, MasterKey, master_key
from trialbook.vault.personal import PERSONAL
from trialbook.vault.sealing import seal, unseal

KEY, OTHER = b"k" * KEY_BYTES, b"o" * KEY_BYTES
SECRET = "Ada Lovelace, 17 Analytical Street"


def kind_of(type_: str) -> str:
    return type_.partition(".")[0]


def event(type_: str, data: dict[str, Any]) -> Event:
    return Event(
        specversion="1.0", id="0" * 32, source="s", type=type_, subject=f"main/{kind_of(type_)}/{'1' * 32}",
        time="2026-01-01T00:00:00.000000Z", datakey="2" * 32, data=msgspec.Raw(msgspec.json.encode(data)),
    )  # fmt: skip


SUBMITTED = {
    "spec": {"workload": "noop", "params": {"who": SECRET}, "title": SECRET, "labels": {"name": SECRET}, "seed": 3},
    "ticket": "t",
}


def test_a_sealed_fact_shows_nothing_personal_and_is_still_that_fact() -> None:
    sealed = seal(event("run.submitted.v1", SUBMITTED), KEY)
    assert SECRET.encode() not in encode(sealed)
    fact = fact_of(decode_event(encode(sealed)))
    assert (fact.spec.workload, fact.spec.seed, fact.ticket) == ("noop", 3, "t")
    assert (fact.spec.params, fact.spec.title, fact.spec.labels) == ({}, "(sealed)", {})


def test_the_key_gives_everything_back() -> None:
    before = event("run.submitted.v1", SUBMITTED)
    after = unseal(decode_event(encode(seal(before, KEY))), KEY)
    assert json.loads(bytes(after.data)) == SUBMITTED


@pytest.mark.parametrize("type_", sorted(PERSONAL))
def test_every_sealable_type_exists_and_its_placeholders_fit(type_: str) -> None:
    assert kind_of(type_) in PERSONAL_KINDS
    data: dict[str, Any] = {}
    for path, placeholder in PERSONAL[type_].items():
        holder = data
        for step in path[:-1]:
            holder = holder.setdefault(step, {"workload": "noop"})
        if placeholder is not None:
            holder[path[-1]] = placeholder
    fields = {field.encode_name: field for field in msgspec.structs.fields(EVENT_TYPES[type_])}
    for name, field in fields.items():
        if field.required and name not in data:
            data[name] = {str: "x", int: 1}.get(field.type, {})
    assert fact_of(event(type_, data)) is not None


def test_another_key_another_fact_or_an_altered_box_open_nothing() -> None:
    sealed = seal(event("run.submitted.v1", SUBMITTED), KEY)
    with pytest.raises(Lost):
        unseal(sealed, OTHER)
    with pytest.raises(Lost):
        unseal(msgspec.structs.replace(sealed, id="f" * 32), KEY)
    data = json.loads(bytes(sealed.data))
    box = bytearray(base64.b64decode(data["sealed"]))
    box[20] ^= 1
    data["sealed"] = base64.b64encode(bytes(box)).decode()
    with pytest.raises(Lost):
        unseal(msgspec.structs.replace(sealed, data=msgspec.Raw(json.dumps(data).encode())), KEY)
    with pytest.raises(Lost):
        unseal(msgspec.structs.replace(sealed, data=msgspec.Raw(b'{"sealed":"%%%"}')), KEY)


def test_facts_without_personal_members_are_left_alone() -> None:
    before = event("run.started.v1", {"attempt": 1, "runner": "r"})
    assert seal(before, KEY) is before
    assert unseal(before, KEY) is before


@given(
    st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
                                            lambda inner: st.lists(inner, max_size=4)
                                            | st.dictionaries(st.text(), inner, max_size=4), max_leaves=10),
                    max_size=6)
)  # fmt: skip
def test_any_parameters_come_back(params: dict[str, Any]) -> None:
    data = {"spec": {"workload": "noop", "params": params}, "ticket": ""}
    opened = unseal(decode_event(encode(seal(event("run.submitted.v1", data), KEY))), KEY)
    assert json.loads(bytes(opened.data)) == data


def test_the_id_of_a_key_tells_nothing_and_differs_by_workspace_and_master_key() -> None:
    one, two = MasterKey(KEY), MasterKey(OTHER)
    ids = {one.key_id("a", "ada"), one.key_id("b", "ada"), two.key_id("a", "ada"), one.key_id("a", "bob")}
    assert len(ids) == 4
    assert all(len(id_) == 32 and "ada" not in id_ for id_ in ids)
    assert one.key_id("a", "ada") == one.key_id("a", "ada")


def test_a_wrapped_key_opens_with_its_master_key_and_id_only() -> None:
    one = MasterKey(KEY)
    wrapped = one.wrap("id", b"x" * 32)
    assert one.unwrap("id", wrapped) == b"x" * 32
    for master, key_id in ((MasterKey(OTHER), "id"), (one, "other")):
        with pytest.raises(Lost):
            master.unwrap(key_id, wrapped)


def test_the_master_key_comes_from_the_environment_or_a_file(tmp_path: Any) -> None:
    text = base64.b64encode(KEY).decode()
    assert master_key({}) is None
    assert master_key({"TRIALBOOK_MASTER_KEY": text}) == MasterKey(KEY)
    (tmp_path / "key").write_text(text + "\n")
    assert master_key({"TRIALBOOK_MASTER_KEY_FILE": str(tmp_path / "key")}) == MasterKey(KEY)
    assert text not in repr(MasterKey(KEY))
    for wrong in ({"TRIALBOOK_MASTER_KEY": "c2hvcnQ="}, {"TRIALBOOK_MASTER_KEY": "%%%"},
                  {"TRIALBOOK_MASTER_KEY_FILE": str(tmp_path / "none")}):  # fmt: skip
        with pytest.raises(Unavailable) as refused:
            master_key(wrong)
        assert "c2hvcnQ" not in refused.value.detail
