"""No change may break who reads our messages: today's JSON Schemas against the committed ones, by rule.

The committed document (docs/asyncapi.yaml) is what readers were promised. Of what we send (facts, signals, answers) a
member that was there stays, keeps its type, and stays required if it was; new ones may come. Of what we take
(questions, commands) nothing that was accepted may be refused: no new required member, no member less, no type less.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from trialbook_deploy.asyncapi import document

COMMITTED = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
Schema = dict[str, Any]


def resolve(schema: Any, root: Schema) -> Schema:
    """A schema with its references followed and its ``allOf`` merged."""
    if not isinstance(schema, dict):
        return {}
    while "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema.get("allOf", ()):
        one = resolve(part, root)
        properties = {**merged.get("properties", {}), **one.get("properties", {})}
        required = [*one.get("required", ()), *merged.get("required", ())]
        merged = {**one, **merged, "properties": properties, "required": required}
    return merged


def types(schema: Schema, root: Schema) -> set[str]:
    """The JSON types that a schema allows; ``any`` for all of them."""
    schema = resolve(schema, root)
    if "const" in schema or "enum" in schema:
        return {f"={value!r}" for value in schema.get("enum", [schema.get("const")])}
    if parts := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        return set().union(*(types(part, root) for part in parts))
    named = schema.get("type", "any")
    return set(named) if isinstance(named, list) else {named}


def within(narrow: set[str], wide: set[str]) -> bool:
    """Whether every value of the one is a value of the other."""
    if "any" in wide:
        return True
    kinds = {"'": "string", "N": "null", "T": "boolean", "F": "boolean"}
    widened = wide | ({"integer"} if "number" in wide else set())
    return all(one in widened or (one[:1] == "=" and kinds.get(one[1], "integer") in widened) for one in narrow)


class Comparison:
    """Breaks between two documents. ``sent``: we send it; otherwise we take it."""

    def __init__(self, before: Schema, after: Schema) -> None:
        self.before, self.after = before, after
        self.breaks: list[str] = []

    def messages(self) -> list[str]:
        """All breaks."""
        old, new = (one["components"]["messages"] for one in (self.before, self.after))
        for name, message in old.items():
            if name not in new:
                self.breaks.append(f"{name}: the message is gone")
                continue
            sent = not name.endswith((".question", ".command"))
            self._compare(name, message["payload"], new[name]["payload"], sent, 0)
        for name, channel in self.before["channels"].items():
            now = self.after["channels"].get(name, {"address": "nothing"})
            if now["address"] != channel["address"]:
                self.breaks.append(f"{name}: {channel['address']} has become {now['address']}")
        return self.breaks

    def _compare(self, where: str, before: Any, after: Any, sent: bool, depth: int) -> None:
        if depth > 8:  # schemas of JSON values refer to themselves
            return
        was, now = types(before, self.before), types(after, self.after)
        if not (within(now, was) if sent else within(was, now)):
            self.breaks.append(f"{where}: {sorted(was)} has become {sorted(now)}")
        old, new = resolve(before, self.before), resolve(after, self.after)
        self._members(where, old, new, sent, depth)
        if "items" in old and "items" in new:
            self._compare(f"{where}[]", old["items"], new["items"], sent, depth + 1)
        for one, other in zip(_objects(old), _objects(new), strict=False):
            self._compare(where, one, other, sent, depth + 1)

    def _members(self, where: str, old: Schema, new: Schema, sent: bool, depth: int) -> None:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                self.breaks.append(f"{where}.{name}: the member is gone")
            else:
                self._compare(f"{where}.{name}", before[name], after[name], sent, depth + 1)
        had, has = set(old.get("required", ())), set(new.get("required", ()))
        if sent and (lost := had - has):
            self.breaks.append(f"{where}: {sorted(lost)} may be missing now")
        if not sent and (demanded := has - had):
            self.breaks.append(f"{where}: {sorted(demanded)} must be given now")


def _objects(schema: Schema) -> list[Any]:
    """The alternatives of a schema that are more than a plain type."""
    return [p for p in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) if "$ref" in p or "properties" in p]


@pytest.fixture(scope="module")
def committed() -> Schema:
    read: Schema = yaml.safe_load(COMMITTED.read_text())
    return read


def test_nothing_that_readers_know_has_changed(committed: Schema) -> None:
    assert Comparison(committed, document()).messages() == []


def members(document_: Schema, name: str) -> Schema:
    found: Schema = document_["components"]["schemas"][name]
    return found


def rename(name: str, old: str, new: str) -> Any:
    def change(made: Schema) -> None:
        schema = members(made, name)
        schema["properties"][new] = schema["properties"].pop(old)
        schema["required"] = [new if one == old else one for one in schema.get("required", ())]

    return change


def retype(name: str, member: str, to: Schema) -> Any:
    def change(made: Schema) -> None:
        members(made, name)["properties"][member] = to

    return change


def drop(name: str, member: str) -> Any:
    def change(made: Schema) -> None:
        members(made, name)["properties"].pop(member)

    return change


def demand(name: str, member: str) -> Any:
    def change(made: Schema) -> None:
        schema = members(made, name)
        schema["properties"].setdefault(member, {"type": "string"})
        schema["required"] = [*schema.get("required", ()), member]

    return change


def relax(name: str) -> Any:
    def change(made: Schema) -> None:
        members(made, name)["required"] = []

    return change


def lose(kind: str, name: str) -> Any:
    def change(made: Schema) -> None:
        made["components"][kind].pop(name)

    return change


def move(name: str) -> Any:
    def change(made: Schema) -> None:
        made["channels"][name]["address"] += ".v2"

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename("run.started.v1", "runner", "worker"), "run.started.v1.event.data.runner: the member is gone"),
        (retype("run.started.v1", "attempt", {"type": "string"}), "data.attempt: ['integer'] has become ['string']"),
        (drop("run.failed.v1", "error"), "run.failed.v1.event.data.error: the member is gone"),
        (drop("RunSpec", "workload"), "run.submitted.v1.event.data.spec.workload: the member is gone"),
        (relax("run.started.v1"), "may be missing now"),
        (drop("Event", "actor"), "event.actor: the member is gone"),
        (lose("messages", "run.paused.v1.event"), "run.paused.v1.event: the message is gone"),
        (move("fact.run.started"), "has become tap.fact"),
        (drop("Answer", "facts"), "run.get.answer.facts: the member is gone"),
        (demand("run.list.body", "colour"), "run.list.question: ['colour'] must be given now"),
        (drop("run.list.body", "status"), "run.list.question.status: the member is gone"),
        (retype("run.list.body", "limit", {"type": "string"}), "run.list.question.limit: ['integer']"),
    ],
)
def test_a_break_is_seen(committed: Schema, change: Any, said: str) -> None:
    made = copy.deepcopy(committed)
    change(made)
    breaks = Comparison(committed, made).messages()
    assert any(said in one for one in breaks), breaks


@pytest.mark.parametrize(
    "change",
    [
        demand("run.started.v1", "colour"),
        retype("run.started.v1", "colour", {"type": "string"}),
        retype("run.list.body", "colour", {"type": "string"}),
        retype("run.list.body", "limit", {"type": "number"}),
        relax("run.logs.body"),
        lambda made: made["components"]["messages"].update({"run.moved.v1.event": {"payload": {}}}),
    ],
)
def test_growth_is_no_break(committed: Schema, change: Any) -> None:
    made = copy.deepcopy(committed)
    change(made)
    assert Comparison(committed, made).messages() == []
