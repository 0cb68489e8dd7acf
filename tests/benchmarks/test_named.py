"""Which benchmarks run when: T1 to T12 by themselves, the others only when somebody asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from benchmarks import __main__ as command
from benchmarks.harness import choose, failed, run_one, summary
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.report import as_json, table
from benchmarks.sandbox_start import Pairs
from benchmarks.scripted import environment, scripted_server
from benchmarks.targets import MODULES, NAMED, l03, s01
from benchmarks.targets.l01 import through_caller, through_sdk
from trialbook.llm import llm_settings

TWELVE = [f"T{number}" for number in range(1, 13)]
OTHERS = ["A1", "A2", "G1", "G2", "G3", "L1", "L2", "L3", "N1", "R1", "R2", "S1", "X1", "X2"]
PLAIN = Target(key="L0", title="plain", unit="s", target=None, better="less")


def chosen(*arguments: str) -> list[str]:
    return [module.TARGET.key for module in choose(command.EVERY, command.keys(command.parse(arguments)))]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ([], TWELVE),
        (["--quick", "--json"], TWELVE),
        (["--all"], [*TWELVE, *OTHERS]),
        (["l2"], ["L2"]),
        (["S1", "T3", "L1"], ["T3", "L1", "S1"]),
    ],
)
def test_others_than_the_twelve_run_only_when_asked_for(arguments: list[str], keys: list[str]) -> None:
    assert chosen(*arguments) == keys


@pytest.mark.parametrize("arguments", [["L4"], ["T13"], ["--all", "T1"]])
def test_wrong_usage_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.parse(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_every_benchmark_is_registered_once_and_says_its_bare_part() -> None:
    assert (list(MODULES), list(NAMED)) == (TWELVE, OTHERS)
    for key, module in command.EVERY.items():
        assert (module.__doc__ or "").startswith(f"{key}: ")
        assert "he bare part" in (module.__doc__ or "")
    promised = {key for key, module in command.EVERY.items() if module.TARGET.target is not None}
    assert promised == {*TWELVE, "A2", "N1", "S1"}
    assert s01.TARGET.target == 15


def test_what_has_no_target_is_neither_met_nor_missed() -> None:
    row = summary(PLAIN, [Sample(value=3, bare=2), Sample(value=5, bare=2), Sample(value=4, bare=2)])
    assert (row.value, row.target, row.met, row.ratio) == (4, None, None, 2)
    assert table([row]).splitlines()[1].split() == ["L0", "plain", "4.00", "s", "-", "-", "2.00", "2.00"]
    answer = msgspec.json.decode(as_json([row]))["L0"]
    assert (answer["target"], answer["met"]) == (None, None)
    assert failed(PLAIN, "no luck").met is False


class Counted:
    """Counts how often it is measured."""

    def __init__(self, once: bool) -> None:
        self.TARGET = msgspec.structs.replace(PLAIN, once=once)
        self.times = 0

    @asynccontextmanager
    async def prepare(self, _options: Options) -> AsyncIterator[Measure]:
        async def measure() -> Sample:
            self.times += 1
            return Sample(value=1, bare=1)

        yield measure


@pytest.mark.parametrize(("once", "times"), [(True, 1), (False, 3)])
async def test_what_takes_minutes_is_measured_once(once: bool, times: int) -> None:
    module = Counted(once)
    assert (await run_one(module, Options(repeats=3))).value == 1
    assert module.times == times


def test_what_a_sandbox_costs_is_the_median_of_differences() -> None:
    pairs = Pairs()
    pairs.bare, pairs.walled = [1.0, 50.0, 2.0], [13.0, 63.0, 13.0]
    assert pairs.over == 12.0


@pytest.mark.integration
async def test_calls_reach_the_scripted_server_in_its_own_process() -> None:
    async with scripted_server("--marketplace", "cheapest") as url:
        assert llm_settings(environment(url)).providers["openai"].base_url == f"{url}/v1"
        for way in (through_caller, through_sdk):  # the server plays the marketplace only, and says so
            with pytest.raises(ExceptionGroup) as caught:
                await way(url, 2, 0.1)
            assert "no rule of the script matches" in str(caught.value.exceptions[0])


@pytest.mark.integration
async def test_a_server_that_does_not_start_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        async with scripted_server("--marketplace", "optimal"):
            pass


@pytest.mark.integration
async def test_an_experiment_by_model_is_measured_on_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(l03, "CUSTOMERS_QUICK", 1)
    row = await run_one(l03, Options(quick=True, repeats=1))
    assert row.error is None
    assert row.value is not None
    assert row.bare is not None
    assert row.bare > 0
    assert row.value > 0
    assert row.more["calls"] > 0
    assert row.more["failed_calls"] == 0
