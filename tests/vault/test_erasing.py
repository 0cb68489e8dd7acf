"""Erase a data subject on a real stack: before, its readers can read everything; afterwards nobody can."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from trialbook.client import AsyncClient, ErasureView
from trialbook.clock import SystemClock
from trialbook.domain.datasubject import Erase
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict, NotFound, Refusal
from trialbook.handle import Handler
from trialbook.ids import UUIDv7Source
from trialbook.log.connect import connect
from trialbook.log.nats import NatsEventLog
from trialbook.log.read import read_facts
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SECRET = "Ada-Lovelace-17-Analytical-Street"
PERSON = "participant-17"
PROGRAM = "import pathlib,sys; print('line about', sys.argv[1]); pathlib.Path('out.txt').write_text(sys.argv[1])"


def order() -> dict[str, Any]:
    return {"argv": [sys.executable, "-c", PROGRAM, SECRET], "artifacts": ["out.txt"]}


async def rebuilt(stack: Stack) -> dict[str, Any]:
    """Compare the tables with a rebuild; the one that follows an erasure may be under way."""
    nc = await connect(stack.nats_url, name="test")
    try:
        while True:
            reply = await nc.request("ask._.rebuild", b'{"check":true}', timeout=60)
            answer: dict[str, Any] = json.loads(reply.data)
            if "result" in answer:
                report: dict[str, Any] = answer["result"]
                return report
            assert answer["error"]["code"] == "rebuild_running", answer
            await asyncio.sleep(0.2)
    finally:
        await nc.close()


async def facts_of(stack: Stack, run: str) -> list[Any]:
    nc = await connect(stack.nats_url, name="test")
    try:
        return await read_facts(nc, f"fact.main.run.{run}.>", 0)
    finally:
        await nc.close()


def stored(directory: Path) -> list[Path]:
    """Files of the installation in which the secret stands."""
    return [
        path
        for path in directory.rglob("*")
        if path.is_file() and path.name != "stack.log" and SECRET.encode() in path.read_bytes()
    ]


async def carried_out(client: AsyncClient, erasure: ErasureView) -> ErasureView:
    async with asyncio.timeout(120):
        while erasure.status != "erased":
            await asyncio.sleep(0.05)
            erasure = await client.erasures.get(erasure.id)
    return erasure


async def sealed_facts(stack: Stack, run: str) -> list[Any]:
    """The run's facts as they are in the ledger, where nothing personal can be read."""
    facts = await facts_of(stack, run)
    assert all(record.event.datakey for record in facts)
    assert SECRET not in str([bytes(r.event.data) for r in facts])
    return facts


async def written_anew(folder: Path) -> None:
    """Wait until the tables were rebuilt after the erasure, which removes the old file."""
    async with asyncio.timeout(120):
        while not (folder / "RENEWED").exists():
            await asyncio.sleep(0.1)


async def everything(client: AsyncClient, run: str) -> str:
    """All that readers are told of a run, as text."""
    view = await client.runs.get(run)
    logs = [line async for line in client.runs.iterate_logs(run)]
    facts = [fact async for fact in client.runs.iterate_facts(run)]
    rows = await client.sql("SELECT * FROM runs")
    return f"{view} {logs} {facts} {rows} {await client.sql('SELECT * FROM logs')}"


async def test_after_an_erasure_nobody_can_read_it_and_the_ledger_is_as_it_was(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        ours = AsyncClient(stack.url, data_subject=PERSON)
        others = AsyncClient(stack.url)
        run = await ours.runs.submit("command", order(), title=SECRET, name=SECRET, labels={"who": SECRET})
        other = await others.runs.submit("noop", {"echo": 1})
        done = await ours.runs.wait(run.id)
        assert done.status == "completed", done.error
        await others.runs.wait(other.id)
        dataset = await ours.datasets.create(SECRET, description=SECRET)
        assert SECRET in await everything(ours, run.id)
        assert await ours.runs.read_artifact(run.id, "out.txt") == SECRET.encode()

        before = await sealed_facts(stack, run.id)
        assert (await rebuilt(stack))["identical"]

        erasure = await carried_out(others, await others.erasures.erase(PERSON, "consent withdrawn"))
        assert erasure.status == "erased"
        assert (erasure.signals >= 1, erasure.blobs) == (True, 1)

        view = await others.runs.get(run.id)
        assert (view.status, view.params, view.title, view.labels, view.name) == ("completed", {}, "(sealed)", {}, None)
        assert SECRET not in await everything(others, run.id)
        assert (await others.datasets.get(dataset.id)).data["name"] == "(sealed)"
        with pytest.raises(Refusal):
            await others.runs.read_artifact(run.id, "out.txt")
        assert await facts_of(stack, run.id) == before
        assert (await others.runs.get(other.id)).params == {"echo": 1}
        assert (await rebuilt(stack))["identical"]

        assert (await others.erasures.erase(PERSON)).status == "erased"
        with pytest.raises(Conflict, match="erased"):
            await ours.runs.submit("noop", {"echo": 2})
        with pytest.raises(NotFound):
            await others.erasures.erase("somebody else")
        await ours.close()
        await others.close()
        await written_anew(tmp_path / "projector")
    # What DuckDB and the server had in their files was overwritten, or is in none that is kept.
    assert [str(p.relative_to(tmp_path)) for p in stored(tmp_path)] == []


async def test_runs_that_go_on_are_not_erased_and_bad_requests_are_refused(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        async with AsyncClient(stack.url, data_subject=PERSON) as ours:
            run = await ours.runs.submit("command", {"argv": [sys.executable, "-c", "import time; time.sleep(60)"]})
            with pytest.raises(Conflict) as refused:
                await ours.erasures.erase(PERSON)
            assert refused.value.extra["runs"] == [run.id]
            await ours.runs.cancel(run.id)
            await ours.runs.wait(run.id)
            assert (await ours.erasures.erase(PERSON)).status in ("erasing", "erased")
        async with httpx.AsyncClient(base_url=stack.url) as http:
            for header in ("", "x" * 201):
                reply = await http.post(
                    "/v1/runs", json={"workload": "noop"}, headers={"Trialbook-Data-Subject": header}
                )
                assert reply.status_code == 422, (header, reply.text)
            assert (await http.post("/v1/erasures", json={"data_subject": ""})).status_code == 422
            assert (await http.get(f"/v1/erasures/{'0' * 32}")).status_code == 404


async def decided(stack: Stack) -> None:
    """The decision to erase, by somebody who does not see the runs: as when they are ordered in that very moment."""
    nc = await connect(stack.nats_url, name="test")
    log = NatsEventLog(nc)
    await log.start()
    try:
        (registered,) = await read_facts(nc, "fact.main.datasubject.*.registered", 0)
        id_ = registered.event.subject.rpartition("/")[2]
        meta = Metadata(source="test", actor="test")
        await Handler(log, SystemClock(), UUIDv7Source()).handle(AggregateId("main", "datasubject", id_), Erase(), meta)
    finally:
        await log.close()
        await nc.close()


async def test_runs_ordered_in_the_moment_of_an_erasure_end_and_leave_nothing(tmp_path: Path) -> None:
    slow = {"argv": [sys.executable, "-uc", "import sys, time; print(sys.argv[1]); time.sleep(60)", SECRET]}
    async with Stack(tmp_path) as stack, AsyncClient(stack.url, data_subject=PERSON) as ours:
        failed = await ours.runs.submit("command", {"argv": [sys.executable, "-c", "raise SystemExit(3)", SECRET]})
        await ours.runs.wait(failed.id)
        running = await ours.runs.submit("command", slow)
        waiting = await ours.runs.submit("command", slow, pool="nobody")
        while not (await ours.runs.logs(running.id)).items:
            await asyncio.sleep(0.05)
        await decided(stack)
        async with AsyncClient(stack.url) as others:
            erasure = await carried_out(others, await others.erasures.erase(PERSON))
            assert erasure.status == "erased"
            assert [(await others.runs.get(run.id)).status for run in (running, waiting)] == ["cancelled"] * 2
            assert (await others.runs.logs(running.id)).items == []
            assert (await rebuilt(stack))["identical"]
            await others.runs.retry(failed.id)  # a run without its order ends, too
            assert (await others.runs.wait(failed.id)).status == "failed"
            assert SECRET not in await everything(others, failed.id) + await everything(others, running.id)
        await written_anew(tmp_path / "projector")
    assert [str(p.relative_to(tmp_path)) for p in stored(tmp_path) if "work" not in p.parts] == []


async def test_an_erasure_that_waits_for_a_run_says_so_and_lets_others_pass(tmp_path: Path) -> None:
    slow = {"argv": [sys.executable, "-uc", "import time; print('begun'); time.sleep(600)"]}
    async with Stack(tmp_path) as stack, AsyncClient(stack.url) as client:
        async with AsyncClient(stack.url, data_subject=PERSON) as ours:
            running = await ours.runs.submit("command", slow)
        async with asyncio.timeout(60):
            while not (await client.runs.logs(running.id)).items:
                await asyncio.sleep(0.05)
        stack.kill("runner-1", signal.SIGSTOP)  # nobody ends the run, and nobody else takes it
        try:
            await decided(stack)
            waiting = await client.erasures.erase(PERSON)
            async with asyncio.timeout(60):
                while (seen := await client.erasures.get(waiting.id)).waits_for != [running.id]:
                    await asyncio.sleep(0.05)
            assert seen.status == "erasing"
            async with AsyncClient(stack.url, data_subject="somebody else") as others:
                await others.datasets.create("theirs")
                passed = await carried_out(client, await others.erasures.erase("somebody else"))
            assert (passed.status, passed.waits_for) == ("erased", [])
            assert (await client.erasures.get(waiting.id)).status == "erasing"
            erasing = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "trialbook_deploy", "erase", PERSON, "--yes", "--url", stack.url,
                env={**os.environ, "TRIALBOOK_DATA_DIR": str(tmp_path)}, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert erasing.stderr is not None
            assert running.id in (await erasing.stderr.readline()).decode()
        finally:
            stack.kill("runner-1", signal.SIGCONT)
        assert await erasing.wait() == 0
        assert (await carried_out(client, waiting)).status == "erased"
        assert (await client.runs.get(running.id)).status == "cancelled"


async def test_an_erasure_begun_by_a_gateway_that_dies_is_carried_out(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        async with AsyncClient(stack.url, data_subject=PERSON) as ours:
            for _ in range(20):
                await ours.runs.submit("command", order())
            async for view in ours.runs.iterate():
                await ours.runs.wait(view.id)
            erasure = await ours.erasures.erase(PERSON)
            old = stack.kill("gateway")
            await stack.wait_replaced("gateway", old, 60)
        async with AsyncClient(stack.url) as client:
            erasure = await carried_out(client, erasure)
            assert erasure.status == "erased"
            assert (await rebuilt(stack))["identical"]
