"""Sets of parameters: what an algorithm or a dataset declares, and what a client's values become.

ParameterSet("Slow", (Integer("duration", minimum=1, maximum=60),)).resolve({"duration": 5}, now) gives all values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trialbook.algomancy.parameters import (
    Boolean,
    Enum,
    Float,
    Integer,
    Interval,
    MultiEnum,
    Parameter,
    ParameterError,
    String,
    Time,
)

Values = dict[str, Any]
"""Parameter name -> value, in declaration order."""


@dataclass(frozen=True)
class ParameterSet:
    """The parameters of one algorithm or dataset, in declaration order.

    ``check`` looks at the values as a whole and raises ``ParameterError`` or ``ValueError``.
    """

    name: str
    parameters: Sequence[Parameter] = ()
    check: Callable[[Values], None] | None = None

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        assert len(set(names)) == len(names), f"{self.name!r} declares a parameter twice: {names}"

    def resolve(self, given: Mapping[str, Any] | None, now: datetime) -> Values:
        """All values, defaults where none is given. Raises ``ParameterError``: the first fault in order of giving."""
        known = {parameter.name: parameter for parameter in self.parameters}
        parsed = {}
        for name, value in (given or {}).items():
            if name not in known:
                raise ParameterError(f"Parameter '{name}' not found.")
            parsed[name] = _given(known[name], value, now)
        values = {name: parsed[name] if name in parsed else known[name].initial(now) for name in known}
        if self.check is not None:
            try:
                self.check(values)
            except ValueError as error:
                raise ParameterError(str(error)) from error
        return values

    def descriptors(self, now: datetime) -> list[dict[str, Any]]:
        """One descriptor per parameter; JSON-able."""
        return [parameter.descriptor(now) for parameter in self.parameters]

    def encode(self, values: Mapping[str, Any]) -> Values:
        """Resolved values as JSON-able data, in declaration order."""
        return {parameter.name: parameter.encode(values[parameter.name]) for parameter in self.parameters}

    def decode(self, stored: Mapping[str, Any], now: datetime) -> Values:
        """The values that ``encode`` made JSON of; a time that nobody gave is null there and None here."""
        return self.resolve({name: value for name, value in stored.items() if value is not None}, now)

    def dumps(self, values: Mapping[str, Any]) -> str:
        """Resolved values as the text that scenarios carry: name and parameters."""
        return json.dumps({"name": self.name, "parameters": self.encode(values)})

    def loads(self, text: str, now: datetime) -> Values:
        """The values of such a text, validated. Raises ``ParameterError``."""
        try:
            stored = dict(json.loads(text)["parameters"])
        except (ValueError, KeyError, TypeError) as error:
            raise ParameterError(f"No parameters of {self.name!r}: {error}") from error
        return self.decode(stored, now)

    def schema(self, now: datetime) -> dict[str, Any]:
        """JSON Schema of what ``resolve`` takes, as strict as a form is: booleans are booleans."""
        return {
            "type": "object",
            "title": self.name,
            "properties": {parameter.name: parameter.schema(now) for parameter in self.parameters},
            "additionalProperties": False,
        }


EMPTY = ParameterSet("empty")
"""What a dataset without parameters declares."""

_TYPES: dict[str, type[Parameter]] = {
    kind.type: kind for kind in (Integer, Float, String, Boolean, Enum, MultiEnum, Time, Interval)
}


def parameter_set(name: str, descriptors: Iterable[Mapping[str, Any]]) -> ParameterSet:
    """A set from stored descriptors, for those who validate without the code that declared it (nor its ``check``)."""
    return ParameterSet(name, tuple(_described(descriptor) for descriptor in descriptors))


def _described(descriptor: Mapping[str, Any]) -> Parameter:
    kind = _TYPES[descriptor["type"]]
    members: dict[str, Any] = {"name": descriptor["name"], "required": descriptor["required"]}
    if "choices" in descriptor:
        members["choices"] = tuple(descriptor["choices"])
    if "min" in descriptor:
        members |= {"minimum": descriptor["min"], "maximum": descriptor["max"]}
    value = descriptor["value"]
    if value is not None:
        members["default"] = kind(descriptor["name"]).parse(value) if kind in {Time, Interval} else value
    return kind(**members)


def _given(parameter: Parameter, value: Any, now: datetime) -> Any:
    if value is not None:
        return parameter.parse(value)
    if parameter.required:
        raise ParameterError(f"Parameter '{parameter.name}' is required.")
    return parameter.initial(now)
