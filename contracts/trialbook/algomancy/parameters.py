"""The kinds of parameters: descriptors to render a form from, and validation with one text per fault.

    Integer("duration", minimum=1, maximum=60).parse(5)

Texts, key sets and their order are part of the contract with existing clients. Times are timezone-aware ``datetime``
objects here and ISO 8601 strings in JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, ClassVar

from trialbook.errors import Invalid


class ParameterError(Invalid):
    """A value that a parameter refuses; ``detail`` is the text the client gets. Code ``invalid_parameter``."""

    def __init__(self, detail: str) -> None:
        """``detail``: the whole sentence."""
        super().__init__("invalid_parameter", detail)


@dataclass(frozen=True)
class Parameter(ABC):
    """One named value. ``required`` only means that null is refused: what is not given keeps its default."""

    type: ClassVar[str]
    name: str
    _: KW_ONLY
    required: bool = True
    description: str = ""

    @abstractmethod
    def initial(self, now: datetime) -> Any:
        """The value until one is given."""

    @abstractmethod
    def parse(self, value: Any) -> Any:
        """A given value, validated. Raises ``ParameterError``."""

    @abstractmethod
    def _schema(self) -> dict[str, Any]:
        """JSON Schema of one value, without default."""

    def _details(self, now: datetime) -> dict[str, Any]:
        """What the descriptor has after ``value``."""
        return {"default": self.encode(self.initial(now))}

    def encode(self, value: Any) -> Any:
        """A value of this parameter as JSON-able data."""
        return value

    def descriptor(self, now: datetime) -> dict[str, Any]:
        """What a client needs to render a field; JSON-able."""
        value = self.encode(self.initial(now))
        head = {"name": self.name, "type": self.type, "required": self.required, "value": value}
        return head | self._details(now)

    def schema(self, now: datetime) -> dict[str, Any]:
        """JSON Schema of the value, with its default; null is allowed where it resets."""
        one = self._schema()
        described = {"description": self.description} if self.description else {}
        default = self.encode(self.initial(now))
        shown = {} if default is None else {"default": default}
        return (one if self.required else {"anyOf": [one, {"type": "null"}]}) | described | shown

    def fault(self, what: str) -> ParameterError:
        """The error that says what the value must be."""
        return ParameterError(f"Parameter '{self.name}' must {what}")


@dataclass(frozen=True)
class _Number(Parameter):
    _: KW_ONLY
    minimum: float | None = None
    maximum: float | None = None

    def _details(self, now: datetime) -> dict[str, Any]:
        return {"default": self.initial(now), "min": self.minimum, "max": self.maximum}

    def _schema(self) -> dict[str, Any]:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        kind = "integer" if self.type == "integer" else "number"
        return {"type": kind} | {key: limit for key, limit in limits.items() if limit is not None}

    def _within(self, value: Any) -> Any:
        if self.minimum is not None and value < self.minimum:
            raise self.fault(f"be greater than or equal to {self.minimum}.")
        if self.maximum is not None and value > self.maximum:
            raise self.fault(f"be less than or equal to {self.maximum}.")
        return value


@dataclass(frozen=True)
class Integer(_Number):
    """A whole number within inclusive limits; neither ``3.0`` nor ``true`` is one."""

    type: ClassVar[str] = "integer"
    _: KW_ONLY
    default: int = 1
    minimum: int | None = None
    maximum: int | None = None

    def __post_init__(self) -> None:
        self.parse(self.default)

    def initial(self, now: datetime) -> int:  # noqa: ARG002 -- only times depend on it
        """The default."""
        return self.default

    def parse(self, value: Any) -> int:
        """Refuses everything but integers within the limits."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault("be an integer.")
        return int(self._within(value))


@dataclass(frozen=True)
class Float(_Number):
    """A finite number within inclusive limits; an integer is kept as one."""

    type: ClassVar[str] = "float"
    _: KW_ONLY
    default: float = 1.0

    def __post_init__(self) -> None:
        self.parse(self.default)

    def initial(self, now: datetime) -> float:  # noqa: ARG002
        """The default."""
        return self.default

    def parse(self, value: Any) -> float:
        """Refuses NaN, infinities, integers that no float can hold, booleans and text."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
            raise self.fault("be a float.")
        number: float = self._within(value)
        return number


@dataclass(frozen=True)
class String(Parameter):
    """Any text."""

    type: ClassVar[str] = "string"
    _: KW_ONLY
    default: str = "default"

    def initial(self, now: datetime) -> str:  # noqa: ARG002
        """The default."""
        return self.default

    def parse(self, value: Any) -> str:
        """Refuses what is no text."""
        if not isinstance(value, str):
            raise self.fault("be a string.")
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True)
class Boolean(Parameter):
    """True or false; 0, 1 and the words in any case count as well."""

    type: ClassVar[str] = "boolean"
    _: KW_ONLY
    default: bool = False

    def initial(self, now: datetime) -> bool:  # noqa: ARG002
        """The default."""
        return self.default

    def parse(self, value: Any) -> bool:
        """Refuses everything else, ``"no"`` and ``1.0`` too."""
        if isinstance(value, bool) or (isinstance(value, int) and value in {0, 1}):
            return bool(value)
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        raise self.fault("be a boolean.")

    def _schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Enum(Parameter):
    """One of ``choices``; the first one by default."""

    type: ClassVar[str] = "enum"
    choices: Sequence[str] = ()
    _: KW_ONLY
    default: str | None = None

    def __post_init__(self) -> None:
        _assert_choices(self.name, self.choices, [] if self.default is None else [self.default])

    def initial(self, now: datetime) -> str:  # noqa: ARG002
        """The default, or the first choice."""
        return self.choices[0] if self.default is None else self.default

    def parse(self, value: Any) -> str:
        """Refuses what is not among the choices."""
        return _choice(self, self.choices, value)

    def _details(self, now: datetime) -> dict[str, Any]:  # noqa: ARG002
        return {"choices": list(self.choices)}

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}


@dataclass(frozen=True)
class MultiEnum(Parameter):
    """A list of ``choices``, possibly empty; by default the first choice alone."""

    type: ClassVar[str] = "multi_enum"
    choices: Sequence[str] = ()
    _: KW_ONLY
    default: Sequence[str] | None = None

    def __post_init__(self) -> None:
        _assert_choices(self.name, self.choices, self.default or [])

    def initial(self, now: datetime) -> list[str]:  # noqa: ARG002
        """The default, or the first choice."""
        return [self.choices[0]] if self.default is None else list(self.default)

    def parse(self, value: Any) -> list[str]:
        """Refuses what is no list, or holds anything that is not among the choices."""
        if not isinstance(value, list | tuple):
            raise self.fault("be a list.")
        return [_choice(self, self.choices, one) for one in value]

    def _details(self, now: datetime) -> dict[str, Any]:  # noqa: ARG002
        return {"choices": list(self.choices)}

    def _schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "enum": list(self.choices)}}


@dataclass(frozen=True)
class Time(Parameter):
    """A moment. Without a default the value is None until one is given."""

    type: ClassVar[str] = "time"
    _: KW_ONLY
    default: datetime | None = None

    def initial(self, now: datetime) -> datetime | None:  # noqa: ARG002
        """The default, or None."""
        return None if self.default is None else _aware(self.default)

    def parse(self, value: Any) -> datetime:
        """Takes ISO 8601 text (without an offset: UTC) or a ``datetime``."""
        moment = _moment(value)
        if moment is None:
            raise self.fault("be a datetime.")
        return moment

    def encode(self, value: datetime | None) -> str | None:
        """ISO 8601 with offset."""
        return None if value is None else value.isoformat()

    def _details(self, now: datetime) -> dict[str, Any]:
        return {"default": self.encode(_aware(self.default or now))}

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class Interval(Parameter):
    """Two moments, the second not before the first; by default the first and last day of the current year."""

    type: ClassVar[str] = "interval"
    _: KW_ONLY
    default: tuple[datetime, datetime] | None = None

    def initial(self, now: datetime) -> tuple[datetime, datetime]:
        """The default, or 1 January to 31 December."""
        if self.default is not None:
            return _aware(self.default[0]), _aware(self.default[1])
        year = now.astimezone(UTC).year
        return datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, tzinfo=UTC)

    def parse(self, value: Any) -> tuple[datetime, datetime]:
        """Takes a list or tuple of what ``Time`` takes."""
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise self.fault("be a list/tuple of two datetimes.")
        start, end = _moment(value[0]), _moment(value[1])
        if start is None or end is None:
            raise ParameterError(f"Parameter '{self.name}' must contain datetime values.")
        if end < start:
            raise ParameterError(f"Parameter '{self.name}' interval end must be greater than or equal to start.")
        return start, end

    def encode(self, value: tuple[datetime, datetime]) -> list[str]:
        """Two ISO 8601 texts."""
        return [moment.isoformat() for moment in value]

    def _schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "format": "date-time"}, "minItems": 2, "maxItems": 2}


def _assert_choices(name: str, choices: Sequence[str], chosen: Sequence[str]) -> None:
    assert choices, f"the parameter {name!r} needs at least one choice"
    assert set(chosen) <= set(choices), f"the default of {name!r} is not among its choices"


def _choice(parameter: Parameter, choices: Sequence[str], value: Any) -> str:
    if not isinstance(value, str):
        raise parameter.fault("be a string.")
    if value not in choices:
        raise parameter.fault(f"be one of {list(choices)}.")
    return value


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an integer of more than 308 digits
        return False


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return _aware(value)
    if not isinstance(value, str):
        return None
    try:
        return _aware(datetime.fromisoformat(value))
    except ValueError:
        return None
