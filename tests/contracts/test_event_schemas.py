"""The committed JSON Schemas are the generated ones, stand alone, and every recorded event fits its own."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from trialbook.aggregates import EVENT_TYPES
from trialbook.codec import decode_event
from trialbook.signals import SIGNAL_TYPES
from trialbook_deploy.asyncapi.events import event_schemas, text_of

COMMITTED = Path(__file__).parents[2] / "docs" / "schemas"
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return event_schemas()


def test_there_is_one_for_every_event_version(made: dict[str, dict[str, Any]]) -> None:
    assert set(made) == set(EVENT_TYPES) | set(SIGNAL_TYPES)


def test_the_committed_ones_are_the_generated_ones(made: dict[str, dict[str, Any]]) -> None:
    committed = {path.name: path.read_text() for path in COMMITTED.iterdir()}
    wanted = {f"{type_}.json": text_of(schema) for type_, schema in made.items()}
    assert committed == wanted, "run: trialbook asyncapi --schemas docs/schemas"


def test_each_stands_alone(made: dict[str, dict[str, Any]]) -> None:
    for schema in made.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert "#/components" not in json.dumps(schema)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.ndjson")), ids=lambda p: p.stem)
def test_recorded_events_fit(path: Path, made: dict[str, dict[str, Any]]) -> None:
    for line in path.read_bytes().splitlines():
        jsonschema.validate(json.loads(line), made[decode_event(line).type])


def test_an_event_of_another_type_does_not_fit(made: dict[str, dict[str, Any]]) -> None:
    line = (GOLDEN / "workspace.v1.ndjson").read_bytes().splitlines()[0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(line), made["run.started.v1"])
