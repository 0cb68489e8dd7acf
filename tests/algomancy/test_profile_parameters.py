"""Descriptors and validation of parameters, text by text."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.algomancy import (
    EMPTY,
    Boolean,
    Enum,
    Float,
    Integer,
    Interval,
    MultiEnum,
    Parameter,
    ParameterError,
    ParameterSet,
    String,
    Time,
    Values,
    parameter_set,
)

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
YEAR = ["2026-01-01T00:00:00+00:00", "2026-12-31T00:00:00+00:00"]
ALL = ParameterSet(
    "All",
    (
        Integer("i", minimum=1, maximum=60),
        Float("f", default=0.5, minimum=0.0),
        String("s"),
        Boolean("b"),
        Enum("e", ("a", "b")),
        MultiEnum("m", ("a", "b")),
        Time("t"),
        Interval("v"),
    ),
)


@pytest.mark.parametrize(
    ("parameter", "tail"),
    [
        (Integer("p"), '"type": "integer", "required": true, "value": 1, "default": 1, "min": null, "max": null'),
        (
            Integer("p", default=2, minimum=1, maximum=60, required=False),
            '"type": "integer", "required": false, "value": 2, "default": 2, "min": 1, "max": 60',
        ),
        (Float("p"), '"type": "float", "required": true, "value": 1.0, "default": 1.0, "min": null, "max": null'),
        (String("p"), '"type": "string", "required": true, "value": "default", "default": "default"'),
        (Boolean("p"), '"type": "boolean", "required": true, "value": false, "default": false'),
        (Enum("p", ["a", "b"]), '"type": "enum", "required": true, "value": "a", "choices": ["a", "b"]'),
        (MultiEnum("p", ["a", "b"]), '"type": "multi_enum", "required": true, "value": ["a"], "choices": ["a", "b"]'),
        (
            MultiEnum("p", ["a", "b"], default=[]),
            '"type": "multi_enum", "required": true, "value": [], "choices": ["a", "b"]',
        ),
        (Time("p"), '"type": "time", "required": true, "value": null, "default": "2026-11-20T10:30:00+00:00"'),
        (
            Time("p", default=MOMENT),
            f'"type": "time", "required": true, "value": "{MOMENT.isoformat()}", "default": "{MOMENT.isoformat()}"',
        ),
        (
            Interval("p"),
            f'"type": "interval", "required": true, "value": {json.dumps(YEAR)}, "default": {json.dumps(YEAR)}',
        ),
    ],
    ids=lambda value: value.type if isinstance(value, Parameter) else "",
)
def test_descriptors_have_exactly_these_members_in_this_order(parameter: Parameter, tail: str) -> None:
    assert json.dumps(parameter.descriptor(NOW)) == f'{{"name": "p", {tail}}}'


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"x": 1}, "Parameter 'x' not found."),
        ({"i": None}, "Parameter 'i' is required."),
        ({"i": 3.0}, "Parameter 'i' must be an integer."),
        ({"i": True}, "Parameter 'i' must be an integer."),
        ({"i": "3"}, "Parameter 'i' must be an integer."),
        ({"i": 0}, "Parameter 'i' must be greater than or equal to 1."),
        ({"i": 61}, "Parameter 'i' must be less than or equal to 60."),
        ({"f": "1"}, "Parameter 'f' must be a float."),
        ({"f": False}, "Parameter 'f' must be a float."),
        ({"f": float("nan")}, "Parameter 'f' must be a float."),
        ({"f": float("inf")}, "Parameter 'f' must be a float."),
        ({"f": 10**400}, "Parameter 'f' must be a float."),
        ({"f": -0.1}, "Parameter 'f' must be greater than or equal to 0.0."),
        ({"s": 1}, "Parameter 's' must be a string."),
        ({"b": "no"}, "Parameter 'b' must be a boolean."),
        ({"b": 2}, "Parameter 'b' must be a boolean."),
        ({"b": 1.0}, "Parameter 'b' must be a boolean."),
        ({"b": []}, "Parameter 'b' must be a boolean."),
        ({"e": "c"}, "Parameter 'e' must be one of ['a', 'b']."),
        ({"e": 1}, "Parameter 'e' must be a string."),
        ({"m": "a"}, "Parameter 'm' must be a list."),
        ({"m": ["a", "c"]}, "Parameter 'm' must be one of ['a', 'b']."),
        ({"m": ["a", 1]}, "Parameter 'm' must be a string."),
        ({"t": 5}, "Parameter 't' must be a datetime."),
        ({"t": "yesterday"}, "Parameter 't' must be a datetime."),
        ({"v": "2026-01-01"}, "Parameter 'v' must be a list/tuple of two datetimes."),
        ({"v": ["2026-01-01"]}, "Parameter 'v' must be a list/tuple of two datetimes."),
        ({"v": ["2026-01-01", 7]}, "Parameter 'v' must contain datetime values."),
        (
            {"v": ["2026-01-02", "2026-01-01"]},
            "Parameter 'v' interval end must be greater than or equal to start.",
        ),
    ],
)
def test_each_fault_has_its_text(given: Values, text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        ALL.resolve(given, NOW)
    assert caught.value.detail == str(caught.value) == text
    assert caught.value.code == "invalid_parameter"


def test_the_first_fault_in_order_of_giving_is_told() -> None:
    with pytest.raises(ParameterError, match="'s'"):
        ALL.resolve({"f": 1, "s": 0, "i": "no", "x": 1}, NOW)
    with pytest.raises(ParameterError, match="'x' not found"):
        ALL.resolve({"x": 1, "i": "no"}, NOW)


@pytest.mark.parametrize("given", [None, {}])
def test_what_is_not_given_keeps_its_default_in_order_of_declaration(given: Values | None) -> None:
    values = ALL.resolve(given, NOW)
    assert list(values) == ["i", "f", "s", "b", "e", "m", "t", "v"]
    assert ALL.encode(values) == {
        "i": 1, "f": 0.5, "s": "default", "b": False, "e": "a", "m": ["a"], "t": None, "v": YEAR,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"f": 2}, 2),
        ({"b": 1}, True),
        ({"b": 0}, False),
        ({"b": "TRUE"}, True),
        ({"b": "False"}, False),
        ({"m": []}, []),
        ({"m": ["b", "a"]}, ["b", "a"]),
        ({"t": "2026-01-02T03:04:05"}, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({"t": "2026-01-02T03:04:05Z"}, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({"t": "2026-01-02"}, datetime(2026, 1, 2, tzinfo=UTC)),
        ({"t": datetime(2026, 1, 2)}, datetime(2026, 1, 2, tzinfo=UTC)),  # noqa: DTZ001
        ({"v": ["2026-01-01"] * 2}, (datetime(2026, 1, 1, tzinfo=UTC),) * 2),
        ({"v": ("2026-01-01", "2026-01-01T01:00+02:00")}, None),
    ],
)
def test_what_is_taken(given: Values, expected: Any) -> None:
    [name] = given
    if expected is None:
        with pytest.raises(ParameterError, match="interval end"):  # an hour earlier, in UTC
            ALL.resolve(given, NOW)
        return
    value = ALL.resolve(given, NOW)[name]
    assert value == expected
    assert type(value) is type(expected)


def test_an_offset_is_kept_as_given() -> None:
    values = ALL.resolve({"t": "2026-07-01T12:00:00+02:00"}, NOW)
    assert values["t"] == datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert ALL.encode(values)["t"] == "2026-07-01T12:00:00+02:00"


def test_null_resets_what_is_optional() -> None:
    one = ParameterSet("One", (Integer("n", default=7, required=False),))
    assert one.resolve({"n": None}, NOW) == {"n": 7}


def test_the_set_as_a_whole_can_be_checked() -> None:
    def ordered(values: Values) -> None:
        if values["low"] > values["high"]:
            raise ValueError("low must not be above high.")

    both = ParameterSet("Both", (Integer("low"), Integer("high", default=5)), ordered)
    assert both.resolve({"low": 5}, NOW) == {"low": 5, "high": 5}
    with pytest.raises(ParameterError, match=r"^low must not be above high\.$"):
        both.resolve({"low": 6}, NOW)
    with pytest.raises(ParameterError, match="integer"):  # single values come first
        both.resolve({"low": 6, "high": "x"}, NOW)


def test_scenarios_carry_the_values_as_text() -> None:
    slow = ParameterSet("Slow", (Integer("duration"), String("ü", default="é")))
    text = slow.dumps(slow.resolve({"duration": 5}, NOW))
    assert text == '{"name": "Slow", "parameters": {"duration": 5, "\\u00fc": "\\u00e9"}}'
    assert slow.loads(text, NOW) == {"duration": 5, "ü": "é"}
    assert EMPTY.dumps({}) == '{"name": "empty", "parameters": {}}'
    with pytest.raises(ParameterError, match="No parameters of 'Slow'"):
        slow.loads("[]", NOW)


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Integer("p", minimum=5),
        lambda: Float("p", maximum=0.5),
        lambda: Enum("p", []),
        lambda: Enum("p", ["a"], default="b"),
        lambda: MultiEnum("p", ["a"], default=["b"]),
        lambda: ParameterSet("S", (Integer("p"), Float("p"))),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declare: Any) -> None:
    with pytest.raises((ParameterError, AssertionError)):
        declare()


moments = st.datetimes(timezones=st.just(UTC))
some_values = st.fixed_dictionaries(
    {},
    optional={
        "i": st.integers(1, 60),
        "f": st.floats(0, allow_infinity=False) | st.integers(0, 10**300),
        "s": st.text(),
        "b": st.booleans(),
        "e": st.sampled_from("ab"),
        "m": st.lists(st.sampled_from("ab"), max_size=3),
        "t": moments,
        "v": st.tuples(moments, moments).map(sorted).map(tuple),
    },
)


@given(some_values)
def test_stored_values_come_back_and_fit_the_schema(given: Values) -> None:
    values = ALL.resolve(given, NOW)
    assert {name: values[name] for name in given} == given
    assert ALL.loads(ALL.dumps(values), NOW) == values
    encoded = {name: value for name, value in ALL.encode(values).items() if value is not None}
    jsonschema.validate(json.loads(json.dumps(encoded)), ALL.schema(NOW))
    assert ALL.decode(encoded, NOW) == values


junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text() | st.integers())


@given(st.sampled_from("ifsbemtv"), junk)
def test_any_json_is_taken_or_refused_with_a_text(name: str, value: Any) -> None:
    with suppress(ParameterError):
        values = ALL.resolve({name: value}, NOW)
        assert ALL.loads(ALL.dumps(values), NOW) == values
        return
    with pytest.raises(ParameterError, match=f"^Parameter '{name}' .*[.]$"):
        ALL.resolve({name: value}, NOW)


def test_a_stored_set_validates_like_the_declared_one() -> None:
    stored = parameter_set("All", json.loads(json.dumps(ALL.descriptors(NOW))))
    assert stored.descriptors(NOW) == ALL.descriptors(NOW)
    assert stored.resolve({"i": 5}, NOW) == ALL.resolve({"i": 5}, NOW)
    with pytest.raises(ParameterError, match="less than or equal to 60"):
        stored.resolve({"i": 99}, NOW)


def test_the_schema_lets_a_form_know_limits_and_choices() -> None:
    schema = ALL.schema(NOW)
    assert schema["properties"]["i"] == {"type": "integer", "minimum": 1, "maximum": 60, "default": 1}
    assert schema["properties"]["m"]["items"]["enum"] == ["a", "b"]
    for wrong in ({"i": 0}, {"b": "yes"}, {"x": 1}, {"e": "c"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    optional = ParameterSet("O", (Integer("n", required=False, description="how many"),)).schema(NOW)
    jsonschema.validate({"n": None}, optional)
    assert optional["properties"]["n"]["description"] == "how many"
