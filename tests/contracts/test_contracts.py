import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook import subjects
from trialbook.aggregates import AGGREGATES, EVENT_TYPES
from trialbook.clock import FixedClock
from trialbook.codec import UnknownEvent, decode_event, encode, event_of, fact_of, route_of
from trialbook.domain.run import RunSpec
from trialbook.domain.run import events as e
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import KINDS, Conflict, Invalid, refusal
from trialbook.ids import CountingIds, UUIDv7Source, derived_id, parse_id
from trialbook.queries import QUERIES
from trialbook.signals import cursor
from trialbook.times import parse_moment, parse_time, rfc3339
from trialbook.upcasts import upcast

RUN = AggregateId("main", "run", "0" * 32)
FINITE = st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others: they are written as null
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(params=st.dictionaries(st.text(), JSON, max_size=4), name=st.none() | st.text())
def test_events_survive_the_wire(params: dict[str, object], name: str | None) -> None:
    fact = e.Submitted(spec=RunSpec(workload="w", params=params, name=name), ticket="t")
    event = event_of(RUN, fact, Metadata(source="test", actor="me"), CountingIds(), FixedClock())
    again = decode_event(encode(event))
    assert fact_of(again) == fact
    assert (again.actor, again.specversion, again.subject) == ("me", "1.0", f"main/run/{'0' * 32}")
    assert subjects.aggregate_of(again) == RUN


def test_unknown_types_and_unreadable_data_are_poison() -> None:
    good = encode(event_of(RUN, e.Started(attempt=1, runner="r"), Metadata(source="t"), CountingIds(), FixedClock()))
    with pytest.raises(UnknownEvent):
        fact_of(decode_event(good.replace(b"run.started.v1", b"run.exploded.v9")))
    with pytest.raises(UnknownEvent):
        fact_of(decode_event(good.replace(b'"attempt":1', b'"attempt":"x"')))


def test_unknown_fields_of_facts_are_ignored() -> None:
    good = encode(event_of(RUN, e.Started(attempt=1, runner="r"), Metadata(source="t"), CountingIds(), FixedClock()))
    assert fact_of(decode_event(good.replace(b'"attempt":1', b'"attempt":1,"later":[1]'))).attempt == 1


def test_old_versions_walk_the_chain() -> None:
    chain = {
        "a.v1": ("a.v2", lambda d: {**d, "x": 1}),
        "a.v2": ("a.v3", lambda d: {"y": d["x"] + 1}),
    }
    assert upcast("a.v1", {}, chain) == ("a.v3", {"y": 2})
    assert upcast("a.v3", {"y": 5}, chain) == ("a.v3", {"y": 5})


def test_wire_names_are_unique_and_versioned() -> None:
    for type_, cls in EVENT_TYPES.items():
        kind, name, version = type_.split(".")
        assert kind in AGGREGATES
        assert name.replace("_", "").isalpha()
        assert version[0] == "v"
        assert type_ == cls.TYPE
    assert all(name == query.NAME for name, query in QUERIES.items())


def test_only_what_enters_a_queue_is_routed() -> None:
    spec = RunSpec(workload="w", pool="gpu", priority="low")
    assert route_of(e.Submitted(spec=spec, ticket="t")) == ("gpu", "low")
    assert route_of(e.Queued(ticket="t", pool="p", priority="high")) == ("p", "high")
    assert route_of(e.Paused()) == ()
    subject = subjects.fact(RUN, "run.submitted.v1", ("gpu", "low"))
    assert subject == f"fact.main.run.{'0' * 32}.submitted.gpu.low"
    assert any(_matches(f, subject) for f in subjects.queue("gpu", "low"))
    assert not any(_matches(f, subject) for f in subjects.queue("gpu", "high"))
    assert _matches(subjects.aggregate_facts(RUN), subject)
    assert _matches(subjects.FACTS_ALL, subject)


def _matches(filter_: str, subject: str) -> bool:
    wanted, given_ = filter_.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(given_) > index
        if index >= len(given_) or token not in ("*", given_[index]):
            return False
    return len(wanted) == len(given_)


@given(st.lists(st.tuples(st.integers(1, 2**40), st.integers(0, 65535)), min_size=2, max_size=2))
def test_cursors_order_as_positions_do(positions: list[tuple[int, int]]) -> None:
    a, b = positions
    assert (cursor(*a) < cursor(*b)) == (a < b)


@given(st.datetimes(timezones=st.timezones()))
def test_times_survive_as_text_and_sort_as_text(moment: object) -> None:
    try:
        text = rfc3339(moment)  # type: ignore[arg-type]
    except OverflowError:  # year 1 or 9999 leaves the calendar in UTC
        return
    assert text.endswith("Z")
    assert rfc3339(parse_time(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-18T04:32:00Z", "2024-02-18T04:32:00.000000Z"),
        ("2024-02-18T04:32:00", "2024-02-18T04:32:00.000000Z"),
        ("2024-02-18T04:32:00+02:00", "2024-02-18T02:32:00.000000Z"),
        ("2024-02-18T04:32:00 02:00", "2024-02-18T02:32:00.000000Z"),
        ("2024-02-18 04:32:00.5Z", "2024-02-18T04:32:00.500000Z"),
        ("2024-02-18 04:32:00", "2024-02-18T04:32:00.000000Z"),
        ("2024-02-18", "2024-02-18T00:00:00.000000Z"),
    ],
)
def test_times_are_read_generously(text: str, expected: str) -> None:
    assert rfc3339(parse_time(text)) == expected


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    try:
        moment = parse_time(text)
    except Invalid:
        return
    assert moment.tzinfo is not None


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "2024", "1e9"])
def test_bad_times_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_time(text)


@pytest.mark.parametrize(
    "text", ["2024-02-18", "2024-02-18T04:32Z", "2024-02-18T04:32:00 02:00", "2024-02-18 04:32-0230"]
)
def test_who_asks_about_a_time_says_its_zone(text: str) -> None:
    assert parse_moment(text) == parse_time(text)


@pytest.mark.parametrize("text", ["2024-02-18T04:32", "2024-02-18 04:32:00", "2024-02-18t04:32:00.5"])
def test_a_time_without_a_zone_is_refused_saying_what_to_write(text: str) -> None:
    with pytest.raises(Invalid, match=f"write {text}Z for UTC"):
        parse_moment(text)


@pytest.mark.parametrize("text", ["2024-02-30", "2024-2-1", "20240218", "2024-02-18Z", "2024-02-18T"])
def test_a_date_is_written_in_full(text: str) -> None:
    for parse in (parse_time, parse_moment):
        with pytest.raises(Invalid):
            parse(text)


def test_ids_sort_by_time_and_never_repeat() -> None:
    source = UUIDv7Source()
    ids = [source.new() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert [i[:12] for i in ids] == sorted(i[:12] for i in ids)
    assert all(i[12] == "7" and i[16] in "89ab" for i in ids)


def test_derived_ids_depend_on_every_part() -> None:
    assert derived_id("a", "b") == derived_id("a", "b")
    assert len({derived_id("a", "b"), derived_id("ab", ""), derived_id("b", "a")}) == 3
    assert parse_id(derived_id("a")) == derived_id("a")


@pytest.mark.parametrize("text", ["", "x", "0" * 31, "0" * 33, "0" * 31 + "g", "../../etc", "0" * 1000])
def test_bad_ids_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_id(text)


def test_refusals_cross_the_wire_by_kind() -> None:
    for kind, cls in KINDS.items():
        assert type(refusal(kind, "c", "d")) is cls
    again = refusal("conflict", "name_taken", "Taken.", {"owner": "x"})
    assert isinstance(again, Conflict)
    assert again.extra == {"owner": "x"}
