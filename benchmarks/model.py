"""What a benchmark is, and what it yields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

Better = Literal["more", "less"]


class Goal(msgspec.Struct, frozen=True):
    """A further figure that has to be met: ``name`` is its key in ``Sample.more``; without it the target is missed."""

    name: str
    target: float
    better: Better = "less"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: ``value`` is in ``unit`` and is met when it is not on the wrong side of ``target``.

    ``target`` None: nothing is promised, so nothing is met or missed. ``once``: takes minutes and is not repeated.
    """

    key: str
    title: str
    unit: str
    target: float | None
    better: Better
    goals: tuple[Goal, ...] = ()
    once: bool = False


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``quick``: smaller sizes. ``repeats``: how often each value is measured; the median counts."""

    quick: bool = False
    repeats: int = 3

    def size(self, full: int, quick: int) -> int:
        """The one that applies."""
        return quick if self.quick else full


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: the value, the bare part measured right before or after it (same unit), further figures.

    ``target`` replaces that of ``Target`` where it depends on the configuration that was found.
    """

    value: float
    bare: float
    more: dict[str, float] = {}
    target: float | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one benchmark: medians, or the error that ended it. ``met`` is None without a target."""

    key: str
    title: str
    value: float | None
    unit: str
    target: float | None
    met: bool | None
    bare: float | None
    ratio: float | None
    more: dict[str, float] = {}
    error: str | None = None


Measure = Callable[[], Awaitable[Sample]]


class Module(Protocol):
    """A module of ``benchmarks.targets``: it prepares a stack with data once, then measures as often as asked."""

    TARGET: Target

    def prepare(self, options: Options) -> AbstractAsyncContextManager[Measure]:
        """Everything that is not measured happens on entering and leaving."""
        ...
