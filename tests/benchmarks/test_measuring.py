"""The arithmetic of the benchmarks, and what they load: figures that are wrong are worse than none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest

from benchmarks import loaders
from benchmarks.harness import choose, run_one, summary
from benchmarks.load import UnexpectedReplyError, connections
from benchmarks.model import Goal, Measure, Options, Sample, Target
from benchmarks.report import as_json, figure, table
from benchmarks.stats import p50, p99, percentile
from benchmarks.targets import MODULES
from trialbook.aggregates import RUN
from trialbook.codec import decode_event, fact_of
from trialbook.signals import Logs

SPEED = Target(key="T0", title="speed", unit="runs/s", target=100, better="more", goals=(Goal("p99", 15),))


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.01), p50(values), p99(values)) == (1.0, 50.0, 99.0)
    assert p50([3.0]) == p99([3.0]) == 3.0
    assert p99([float(n) for n in range(1000)]) == 989.0


def test_a_summary_has_the_median_of_each_figure() -> None:
    samples = [Sample(value=v, bare=2 * v, more={"p99": p}) for v, p in ((90, 1), (110, 20), (120, 3))]
    row = summary(SPEED, samples)
    assert (row.value, row.bare, row.ratio, row.met) == (110, 220, 0.5, True)
    assert row.more == {"p99": 3, "p99_target": 15}


@pytest.mark.parametrize(
    ("value", "more", "met"), [(100, {"p99": 15.0}, True), (99, {"p99": 1.0}, False), (200, {"p99": 16.0}, False)]
)
def test_every_goal_has_to_be_reached(value: float, more: dict[str, float], met: bool) -> None:
    assert summary(SPEED, [Sample(value=value, bare=1, more=more)]).met is met


def test_a_goal_that_could_not_be_measured_is_missed() -> None:
    assert not summary(SPEED, [Sample(value=200, bare=1)]).met


def test_a_sample_may_bring_its_own_target() -> None:
    slow = Target(key="T0", title="take-over", unit="s", target=12, better="less")
    assert summary(slow, [Sample(value=5, bare=2, target=4)]).met is False


class Broken:
    """A benchmark that fails in the way of a task group."""

    TARGET = SPEED

    def prepare(self, options: Options) -> AbstractAsyncContextManager[Measure]:
        return self._prepare(options)

    @asynccontextmanager
    async def _prepare(self, _options: Options) -> AsyncIterator[Measure]:
        async def measure() -> Sample:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fail())
            return Sample(value=1, bare=1)

        yield measure

    async def _fail(self) -> None:
        raise ValueError("no luck")


async def test_a_failing_benchmark_becomes_a_row() -> None:
    row = await run_one(Broken(), Options())
    assert row.error == "ValueError: no luck"
    assert not row.met
    assert "error" in table([row])
    answer = msgspec.json.decode(as_json([row]))
    assert answer["T0"]["error"] == "ValueError: no luck"
    assert {"value", "unit", "target", "met", "bare", "ratio"} <= set(answer["T0"])


def test_there_are_twelve_targets_in_order() -> None:
    assert list(MODULES) == [f"T{number}" for number in range(1, 13)]
    assert [module.TARGET.key for module in choose(MODULES, ["t4", "T1"])] == ["T1", "T4"]
    with pytest.raises(KeyError):
        choose(MODULES, ["T13"])


@pytest.mark.parametrize(
    ("number", "text"), [(12345.6, "12,346"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123")]
)
def test_figures_have_three_digits(number: float, text: str) -> None:
    assert figure(number) == text


@pytest.mark.parametrize("end", ["queued", "running", "completed", "failed", "cancelled"])
async def test_loaded_facts_are_lives_of_runs(end: str) -> None:
    life = await loaders.template(end)
    facts = list(loaders.facts_of_runs(lambda _: life, range(3), signals=77))
    assert len({id_ for _, id_, _ in facts}) == len(facts)
    for number in range(3):
        run = loaders.run_id(number)
        mine = [decode_event(payload) for subject, _, payload in facts if f".{run}." in subject]
        state = RUN.decider.fold((fact_of(event), event.time) for event in mine)
        assert (state.status, {event.subject for event in mine}) == (end, {f"main/run/{run}"})
        assert state.signal_sequence == (77 if end in {"completed", "failed"} else 0)
        assert all(re.fullmatch(r"[0-9a-f]{32}", event.id) for event in mine)


def test_loaded_lines_are_all_there_and_interleaved() -> None:
    messages = list(loaders.log_chunks(runs=4, lines=25, chunk=10, together=2))
    lines: dict[str, list[int]] = {}
    for subject, payload in messages:
        records = msgspec.json.decode(decode_event(payload).data, type=Logs).records
        lines.setdefault(subject, []).extend(record.time for record in records)
    assert [len(times) for times in lines.values()] == [25] * 4
    assert all(times == sorted(set(times)) for times in lines.values())
    first, second, third, *_ = [subject for subject, _ in messages]
    assert first != second
    assert first == third


async def test_the_http_client_reads_replies_in_pieces_and_refuses_errors() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) if b"Content-Length" in head else 0
            body = await reader.readexactly(length)
            status = b"404 Not Found" if b"/missing" in head else b"200 OK"
            reply = b"HTTP/1.1 " + status + b"\r\ncontent-length: %d\r\n\r\n" % (len(body) + 1) + body + b"!"
            for byte in reply:
                writer.write(bytes([byte]))
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with connections(url, 2) as (first, second):
        assert await first.ok("POST", "/x", b"hello") == b"hello!"
        assert list(await asyncio.gather(first.ok("GET", "/x"), second.ok("POST", "/x", b"a"))) == [b"!", b"a!"]
        with pytest.raises(UnexpectedReplyError, match="404"):
            await first.ok("GET", "/missing")
    server.close()
