"""The AsyncAPI document: the committed one is the generated one, and it describes what is really on NATS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from trialbook import subjects
from trialbook.aggregates import EVENT_TYPES
from trialbook.clock import FixedClock
from trialbook.codec import encode, event_of
from trialbook.domain.run import RunSpec
from trialbook.domain.run import events as e
from trialbook.envelope import AggregateId, Metadata
from trialbook.ids import CountingIds
from trialbook.queries import QUERIES, Answer, RunList
from trialbook.signals import SIGNAL_TYPES
from trialbook_deploy.asyncapi import document, text
from trialbook_deploy.cli import build

COMMITTED = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
KEY = re.compile(r"[a-zA-Z0-9._-]+")  # AsyncAPI's rule for the names of components


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document()


def test_the_committed_document_is_the_generated_one() -> None:
    assert COMMITTED.read_text() == text(), "run: trialbook asyncapi --output docs/asyncapi.yaml"


def test_the_command_writes_and_prints_it(tmp_path: Path) -> None:
    app = build(("asyncapi", "doctor"))
    assert CliRunner().invoke(app, ["asyncapi"]).stdout == COMMITTED.read_text()
    written = tmp_path / "asyncapi.yaml"
    assert CliRunner().invoke(app, ["asyncapi", "--output", str(written)]).exit_code == 0
    assert yaml.safe_load(written.read_text())["asyncapi"] == "3.0.0"
    missing = CliRunner().invoke(app, ["asyncapi", "--output", str(tmp_path / "no" / "such")])
    assert "cannot write" in str(missing.exception)


def test_everything_is_there(made: dict[str, Any]) -> None:
    messages = made["components"]["messages"]
    assert {f"{name}.question" for name in (*QUERIES, subjects.REBUILD)} <= set(messages)
    assert {f"{name}.answer" for name in (*QUERIES, subjects.REBUILD)} <= set(messages)
    assert {f"{type_}.event" for type_ in (*EVENT_TYPES, *SIGNAL_TYPES)} <= set(messages)
    addresses = {channel["address"] for channel in made["channels"].values()}
    assert "ask.{workspace}.run.get" in addresses
    assert "tap.fact.{workspace}.run.{id}.submitted.{pool}.{priority}" in addresses
    assert "tap.signal.{workspace}.run.{run}.log" in addresses
    assert made["operations"]["run.list"]["reply"]["channel"] == {"$ref": "#/channels/answers"}


def test_references_and_names_are_sound(made: dict[str, Any]) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, list):
            for member in node:
                walk(member)
        elif isinstance(node, dict):
            if isinstance(target := node.get("$ref"), str):
                found: Any = made
                for part in target.removeprefix("#/").split("/"):
                    found = found[part]
            for member in node.values():
                walk(member)

    walk(made)
    for members in (made["channels"], made["operations"], *made["components"].values()):
        assert [name for name in members if not KEY.fullmatch(name)] == []
    for channel in made["channels"].values():
        assert set(channel.get("parameters", {})) == set(re.findall(r"{(\w+)}", channel["address"] or ""))


def check(made: dict[str, Any], message: str, value: bytes) -> None:
    """Validate a payload as a reader of the document would."""
    schema = {**made["components"]["messages"][message]["payload"], "components": made["components"]}
    jsonschema.Draft202012Validator(schema).validate(msgspec.json.decode(value))


def test_what_is_sent_fits_the_schemas(made: dict[str, Any]) -> None:
    run = AggregateId("main", "run", "1" * 32)
    fact = e.Submitted(spec=RunSpec(workload="noop", labels={"a": "b"}), ticket="t")
    sent = encode(event_of(run, fact, Metadata(source="test"), CountingIds(), FixedClock()))
    check(made, "run.submitted.v1.event", sent)
    check(made, "run.list.question", encode(RunList(status=["running"], limit=5)))
    page = msgspec.Raw(b'{"items": [], "next_cursor": null, "total": 0}')
    check(made, "run.list.answer", encode(Answer(facts=1, result=page)))
    for message, wrong in (
        ("run.started.v1.event", sent),
        ("run.submitted.v1.event", sent.replace(b'"ticket":"t"', b'"ticket":7')),
        ("run.list.question", b'{"limt": 5}'),
        ("run.list.answer", b'{"facts": 1, "result": {"items": 3}}'),
    ):
        with pytest.raises(jsonschema.ValidationError):
            check(made, message, wrong)
