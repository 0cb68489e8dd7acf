"""Export, import and sealing of a whole installation, with real processes, through the command line and the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.ledger import living
from tests.ledger.living import command
from trialbook.streams import FACTS, SIGNALS
from trialbook_deploy.stack import Stack

pytestmark = [
    pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")
]  # fmt: skip


class Living:
    """One installation for all tests of the module, in their order."""

    stack: Stack
    http: httpx.AsyncClient
    runs: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Living]:
    async with living.running(tmp_path_factory.mktemp("living")) as (stack, http):
        one = Living()
        one.stack, one.http, one.runs = stack, http, await living.fill(http)
        await living.poison(stack)
        yield one


async def test_an_export_is_imported_as_an_equal_installation(installation: Living, tmp_path: Path) -> None:
    stack, files = installation.stack, tmp_path / "export"
    before = await living.check(stack)
    said = await command("export", str(files), "--format", "ndjson,parquet", "--data-dir", str(stack.data_dir))
    assert "as of fact" in said
    assert "complete export" in await command("export", str(files), "--data-dir", str(stack.data_dir), code=1)
    streams = {name: await living.messages(stack.nats_url, name) for name in (FACTS, SIGNALS)}
    assert "in use" in await command("import", str(files), "--data-dir", str(stack.data_dir), code=1)

    other = tmp_path / "other"
    assert "equal" in await command("import", str(files), "--data-dir", str(other))
    assert "empty" in await command("import", str(files), "--data-dir", str(other), code=1)
    async with living.running(other, runners=0) as (imported, http):
        assert {name: await living.messages(imported.nats_url, name) for name in streams} == streams
        after = await living.check(imported)
        assert living.hashes(after) == living.hashes(before)
        assert after["facts"] == before["facts"]
        last = max(sequence for sequence, *_ in streams[FACTS])
        answered = [await living.answers(one, installation.runs, last) for one in (http, installation.http)]
        assert answered[0] == answered[1], "although the server has stored every message at another time"


async def test_a_run_that_was_not_finished_goes_on(installation: Living, tmp_path: Path) -> None:
    stack, http = installation.stack, installation.http
    over = tmp_path / "over"
    waits = ["sh", "-c", f"while ! [ -e '{over}' ]; do sleep 0.1; done"]
    sleeping = await living.submit(http, "command", params={"argv": waits})
    waiting = await living.submit(http, "noop", pool="nobody-serves-it")
    await living.ended(http, sleeping, "running")
    await command("export", str(tmp_path / "export"), "--data-dir", str(stack.data_dir))
    for run in (sleeping, waiting):
        await http.post(f"/v1/runs/{run}/cancel")
    await command("import", str(tmp_path / "export"), "--data-dir", str(tmp_path / "other"))
    over.touch()
    env = {"TRIALBOOK_RUNNER_POOLS": "default=2,inline=8,nobody-serves-it=1"}
    async with living.running(tmp_path / "other", runners=1, **env) as (imported, there):
        before = (await there.get("/v1/runs?limit=100&status=completed")).json()["items"]
        assert (await living.ended(there, sleeping, "completed"))["attempt"] == 2
        assert (await living.ended(there, waiting, "completed"))["attempt"] == 1
        for run in before:
            assert (await there.get(f"/v1/runs/{run['id']}")).json()["attempt"] == run["attempt"]
        types = [f["event"]["type"] for f in (await there.get(f"/v1/runs/{sleeping}/facts")).json()["items"]]
        assert types[1:4] == ["run.started.v1", "run.attempt_lost.v1", "run.started.v1"]
        await living.check(imported)


async def test_sealing_changes_no_answer(installation: Living) -> None:
    stack, http, runs = installation.stack, installation.http, installation.runs
    last = (await http.get("/v1/events?limit=1000")).json()["items"][-1]["sequence"]
    before, tables = await living.answers(http, runs, last), await living.check(stack)
    said = await command("seal", "--before", str(last + 1), "--json", "--data-dir", str(stack.data_dir))
    report = json.loads(said)
    assert report["holding"] is None, (await http.get(f"/v1/runs/{report['holding']['run']}/facts")).text
    assert report["sealed_to"] == last
    assert report["purged"] > 10
    stored = [m for m in await living.messages(stack.nats_url, FACTS) if m[0] <= last]
    assert len(stored) == last - report["purged"]
    assert not any(".started" in subject or ".submitted." in subject for _, subject, _, _ in stored)

    assert await living.answers(http, runs, last) == before
    assert living.hashes(await living.check(stack)) == living.hashes(tables)
    listed = (await http.get("/v1/ledger/segments")).json()
    assert (listed["sealed_to"], listed["in_stream"]) == (last, len(stored))
    assert "as sealed" in await command("segments", "verify", "--data-dir", str(stack.data_dir))


async def test_sealed_runs_are_commanded_as_before(installation: Living) -> None:
    http, runs = installation.http, installation.runs
    again = await http.post("/v1/runs", json={"workload": "noop", "labels": {"n": "0"}},
                            headers={"Idempotency-Key": "key-0"})  # fmt: skip
    assert again.json()["id"] == runs[0]
    other = await http.post("/v1/runs", json={"workload": "noop"}, headers={"Idempotency-Key": "key-0"})
    assert other.status_code == 409
    assert (await http.post("/v1/runs", json={"workload": "noop", "name": "talking"})).status_code == 409
    replies = await asyncio.gather(*(http.post(f"/v1/runs/{runs[6]}/retry") for _ in range(4)))
    assert min(r.status_code for r in replies) < 300
    assert (await living.ended(http, runs[6], "failed"))["attempt"] == 3
    facts = (await http.get(f"/v1/runs/{runs[6]}/facts")).json()["items"]
    assert [f["event"]["type"] for f in facts].count("run.started.v1") == 3
    assert (await http.delete(f"/v1/runs/{runs[1]}")).status_code == 204
    assert (await http.get(f"/v1/runs/{runs[1]}")).status_code == 404
    await living.check(installation.stack)


async def test_a_projector_that_is_killed_while_it_seals_loses_nothing(installation: Living) -> None:
    stack, http = installation.stack, installation.http
    order = ("seal", "--before", "1000000", "--data-dir", str(stack.data_dir))
    before: dict[str, bytes] = {}
    last, sealing = 0, asyncio.create_task(asyncio.sleep(0, 0))
    for seconds in (0.0, 0.1, 0.5, 2.0):
        runs = [await living.submit(http, "noop") for _ in range(5)]
        for run in runs:
            await living.ended(http, run)
        last = (await http.get(f"/v1/runs/{runs[-1]}/facts")).json()["items"][-1]["sequence"]
        before |= {path: found for path, found in (await living.answers(http, runs, last)).items() if runs[0] in path}
        sealing = asyncio.create_task(living.outcome(*order))
        await asyncio.sleep(1.0 + seconds)  # the command itself takes most of a second to start
        await stack.wait_replaced("projector", stack.kill("projector"), 60)
        for path, found in before.items():
            assert await living.got(http, path) == found
        if seconds < 2.0:
            sealing.cancel()
            await asyncio.gather(sealing, return_exceptions=True)
    async with asyncio.timeout(90):
        assert await sealing in (0, 1), "the command waits for a report that nobody will give"
    await command(*order)
    for path, found in before.items():
        assert await living.got(http, path) == found
    assert (await http.get("/v1/ledger/segments")).json()["sealed_to"] >= last
    await living.check(stack)


async def test_a_projector_without_tables_reads_segments_and_stream(installation: Living) -> None:
    stack, http = installation.stack, installation.http
    before = await living.check(stack)
    await stack.stop()
    for file in (stack.data_dir / "projector").glob("*.duckdb*"):
        file.unlink()
    await stack.start()
    http.base_url = httpx.URL(stack.url)
    assert living.hashes(await living.check(stack)) == living.hashes(before)


async def test_a_sealed_ledger_is_exported_whole(installation: Living, tmp_path: Path) -> None:
    stack = installation.stack
    before = await living.check(stack)
    await command("export", str(tmp_path / "export"), "--data-dir", str(stack.data_dir))
    await command("import", str(tmp_path / "export"), "--data-dir", str(tmp_path / "other"))
    async with living.running(tmp_path / "other", runners=0) as (imported, _):
        assert living.hashes(await living.check(imported)) == living.hashes(before)


async def test_a_damaged_segment_is_named_and_nothing_is_made_up(installation: Living) -> None:
    stack, http, runs = installation.stack, installation.http, installation.runs
    file = min((stack.data_dir / "segments" / "sealed" / "facts").glob("*.ndjson.gz"))
    content = file.read_bytes()
    file.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    try:
        assert "sha256" in await command("segments", "verify", "--data-dir", str(stack.data_dir), code=5)
        assert (await http.post(f"/v1/runs/{runs[2]}/retry")).status_code in (409, 503)
        await command("rebuild", "--check", "--data-dir", str(stack.data_dir), code=1)
    finally:
        file.write_bytes(content)
    await living.check(stack)
