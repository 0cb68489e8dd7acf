"""Histories recorded by earlier versions are read by today's code. The files are never edited: a new version of an
event gets a new file beside the old one.
"""

from pathlib import Path

import msgspec
import pytest

from trialbook.aggregates import AGGREGATES, EVENT_TYPES
from trialbook.codec import decode_event, encode, fact_of

GOLDEN = Path(__file__).parent.parent / "golden"
HISTORIES = sorted(GOLDEN.glob("*.ndjson"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda p: p.stem)
def test_old_histories_lead_to_the_same_state(path: Path) -> None:
    events = [decode_event(line) for line in path.read_bytes().splitlines()]
    kind = events[0].subject.split("/")[1]
    state = AGGREGATES[kind].decider.fold((fact_of(event), event.time) for event in events)
    expected = path.with_suffix("").with_suffix("").name
    recorded = (GOLDEN / f"{expected}.v1.state.json").read_bytes()
    assert msgspec.json.decode(encode(state)) == msgspec.json.decode(recorded)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda p: p.stem)
def test_what_is_read_is_written_the_same(path: Path) -> None:
    for line in path.read_bytes().splitlines():
        assert encode(decode_event(line)) == line


def test_every_event_type_has_been_recorded() -> None:
    recorded = {decode_event(line).type for path in HISTORIES for line in path.read_bytes().splitlines()}
    assert recorded == set(EVENT_TYPES)
