"""Runs benchmarks one after another; one that fails says so in its row and the others go on."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable, Iterator
from statistics import median

from benchmarks.model import Better, Module, Options, Row, Sample, Target
from benchmarks.report import note
from benchmarks.stats import medians

LONGEST_S = 900.0
"""A benchmark that takes longer has failed; one that is measured once has twice the time."""


async def run_one(module: Module, options: Options) -> Row:
    """Measure one target. Never raises but for cancellation: the error is in the row."""
    target = module.TARGET
    note(f"{target.key}  {target.title} ...")
    samples: list[Sample] = []
    try:
        limit_s = LONGEST_S * (2 if target.once else 1)
        async with asyncio.timeout(limit_s), module.prepare(options) as measure:
            for _ in range(1 if target.once else options.repeats):
                samples.append(await measure())
                note(f"{target.key}  {samples[-1].value:.6g} {target.unit}, bare {samples[-1].bare:.6g}")
    except Exception as error:  # noqa: BLE001 - whatever it is becomes the row's error, and the exit code
        first = cause(error)
        note("".join(traceback.format_exception(first)))
        return failed(target, f"{type(first).__name__}: {first}")
    return summary(target, samples)


def cause(error: BaseException) -> BaseException:
    """The first of the errors that a task group collected."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def failed(target: Target, error: str) -> Row:
    """The row of a benchmark that could not be measured."""
    return Row(
        key=target.key, title=target.title, value=None, unit=target.unit, target=target.target, met=False, bare=None,
        ratio=None, error=error,
    )  # fmt: skip


def summary(target: Target, samples: list[Sample]) -> Row:
    """Medians, each figure by itself, and whether all that was promised is met."""
    value = median(sample.value for sample in samples)
    bare = median(sample.bare for sample in samples)
    more = medians([sample.more for sample in samples])
    targets = [target.target if sample.target is None else sample.target for sample in samples]
    known = [wanted for wanted in targets if wanted is not None]
    wanted = median(known) if known else None
    met = None if wanted is None else reached(value, wanted, target.better)
    for goal in target.goals:
        met = met is not False and goal.name in more and reached(more[goal.name], goal.target, goal.better)
        more[f"{goal.name}_target"] = goal.target
    return Row(
        key=target.key, title=target.title, value=value, unit=target.unit, target=wanted, met=met, bare=bare,
        ratio=value / bare if bare else None, more=more,
    )  # fmt: skip


def reached(value: float, target: float, better: Better) -> bool:
    """Whether a value is on the right side of its target."""
    return value >= target if better == "more" else value <= target


def choose(modules: dict[str, Module], keys: Iterable[str]) -> Iterator[Module]:
    """The named modules in the order of the table, all when none is named. Raises ``KeyError`` for an unknown name."""
    wanted = {key.upper() for key in keys} or set(modules)
    for key in wanted:
        if key not in modules:
            raise KeyError(key)
    return (module for key, module in modules.items() if key in wanted)
