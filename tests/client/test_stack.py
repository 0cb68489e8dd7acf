"""The client against the real thing: gateway, runner, projector and nats-server in processes of their own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.client.standing import standing
from trialbook import errors
from trialbook.client import AsyncClient, Client, Fact, StatusView
from trialbook.queries import LogView
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
PATIENCE_S = 60.0
"""How long anything may take on a busy machine."""
COUNTING = "import time\nfor i in range({count}):\n    print('line', i, flush=True)\n    time.sleep({pause})"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with standing(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture
async def real(stack: Stack) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(stack.url, patience_s=PATIENCE_S) as client:
        yield client


def counting(count: int, pause: float = 0.0) -> dict[str, object]:
    return {"argv": ["python3", "-c", COUNTING.format(count=count, pause=pause)]}


async def test_a_run_from_order_to_result(real: AsyncClient) -> None:
    run = await real.runs.submit("noop", {"echo": {"a": [1, None, "ü"]}}, title="T", labels={"case": "first"})
    assert run.status == "queued"
    ended = await real.runs.wait(run.id, timeout_s=PATIENCE_S)
    assert (ended.status, ended.result) == ("completed", {"a": [1, None, "ü"]})
    assert await real.runs.result(run.id) == ended.result
    assert [one.id for one in (await real.runs.page(labels={"case": "first"})).items] == [run.id]
    facts = [fact async for fact in real.runs.iterate_facts(run.id)]
    assert [fact.event.type for fact in facts] == ["run.submitted.v1", "run.completed.v1"]
    assert facts[0].data["spec"]["workload"] == "noop"
    assert (await real.runs.get(run.id, as_of=facts[0].sequence)).status == "queued"
    await real.runs.delete(run.id)
    with pytest.raises(errors.NotFound):
        await real.runs.get(run.id)


async def test_one_key_one_run(real: AsyncClient) -> None:
    first = await real.runs.submit("noop", {"echo": 1}, key="my-key")
    assert (await real.runs.submit("noop", {"echo": 1}, key="my-key")).id == first.id
    with pytest.raises(errors.Conflict) as caught:
        await real.runs.submit("noop", {"echo": 2}, key="my-key")
    assert caught.value.code == "idempotency_key_reused"
    with pytest.raises(errors.Invalid) as invalid:
        await real.runs.submit("noop", {"nope": 2})
    assert invalid.value.extra["errors"][0]["pointer"] == "/params"


async def test_many_runs_over_pages(real: AsyncClient) -> None:
    async with asyncio.TaskGroup() as group:
        orders = [group.create_task(real.runs.submit("noop", {"echo": n}, labels={"case": "many"})) for n in range(230)]
    ids = {order.result().id for order in orders}
    assert len(ids) == 230
    listed = [run.id async for run in real.runs.iterate(labels={"case": "many"}, brief=True)]
    assert len(listed) == 230
    assert set(listed) == ids
    page = await real.runs.page(labels={"case": "many"}, limit=10, count=True)
    assert (len(page.items), page.total) == (10, 230)


@pytest.mark.parametrize("victim", ["gateway", "projector", "nats"])
async def test_following_over_a_killed_service_misses_and_repeats_nothing(
    stack: Stack, real: AsyncClient, victim: str
) -> None:
    run = await real.runs.submit("command", counting(400, 0.01))
    seen: list[LogView] = []
    async with asyncio.timeout(100):
        async for line in real.runs.follow_logs(run.id):
            seen.append(line)
            if len(seen) == 50:
                await stack.wait_replaced(victim, stack.kill(victim), PATIENCE_S)
    assert [line.message for line in seen] == [f"line {n}" for n in range(400)]
    assert [line.cursor for line in seen] == sorted({line.cursor for line in seen})
    stored = [line async for line in real.runs.iterate_logs(run.id)]
    assert stored == seen
    middle = seen[200]
    assert [line async for line in real.runs.follow_logs(run.id, after=middle.cursor)] == seen[201:]
    assert (await real.runs.wait(run.id, PATIENCE_S)).status == "completed"


async def test_cancel_pause_resume_retry(real: AsyncClient) -> None:
    run = await real.runs.submit("command", counting(10_000, 0.01))
    updates = real.runs.follow(run.id)
    async for update in updates:
        if isinstance(update, LogView):
            break
    await real.runs.cancel(run.id, "enough")
    ended = await real.runs.wait(run.id, PATIENCE_S)
    assert (ended.status, ended.cancel_reason) == ("cancelled", "enough")
    final = [update async for update in updates][-1]
    assert isinstance(final, StatusView)
    assert (final.status, final.final) == ("cancelled", True)
    waiting = await real.runs.submit("noop", start=False)
    assert waiting.status == "created"
    await real.runs.start(waiting.id)
    assert (await real.runs.wait(waiting.id, PATIENCE_S)).status == "completed"
    with pytest.raises(errors.Conflict, match="completed"):
        await real.runs.cancel(waiting.id)
    assert (await real.runs.retry(run.id)).status in {"queued", "running"}
    await real.runs.cancel(run.id)
    assert (await real.runs.wait(run.id, PATIENCE_S)).status == "cancelled"


async def test_an_experiment_and_what_it_leaves(real: AsyncClient, tmp_path: Path) -> None:
    run = await real.runs.submit("marketplace", {"dataset": "mexican_3_9"})
    ended = await real.runs.wait(run.id, PATIENCE_S)
    assert ended.status == "completed"
    names = {artifact.name: artifact for artifact in await real.runs.artifacts(run.id)}
    path = await real.runs.download(run.id, "analytics.json", tmp_path)
    assert path.stat().st_size == names["analytics.json"].size
    assert await real.runs.read_artifact(run.id, "analytics.json") == path.read_bytes()
    agents = [row async for row in real.runs.iterate_rows(run.id, "agent")]
    assert [row.index for row in agents] == list(range(1, 13))
    points = [point.name async for point in real.runs.iterate_metrics(run.id)]
    assert points == ["customer_utility"]
    compared = await real.compare("customer_utility", [run.id])
    assert compared[0].last == ended.result["total_marketplace_customer_utility"]
    result = await real.sql("SELECT count(*) AS n FROM logs WHERE run = ?", [run.id])
    assert result.rows == [[(await real.runs.logs(run.id)).total]]
    assert (await real.sql_bytes("SELECT 1 AS one", media_type="text/csv")).split() == [b"one", b"1"]
    with pytest.raises(errors.Refusal):
        await real.sql("DROP TABLE runs")
    assert await real.runs.steps(run.id) == {}


async def test_files_datasets_models_and_inputs(real: AsyncClient, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "table.bin").write_bytes(content)
    file = await real.files.upload(tmp_path / "table.bin", labels={"team": "a"})
    assert file.data["size"] == len(content)
    assert await real.files.read(file.id) == content
    assert (await real.files.download(file.id, tmp_path / "back")).read_bytes() == content
    dataset = await real.datasets.create("numbers", description="D")
    version = await real.datasets.add_version(dataset.id, {"a.bin": tmp_path / "table.bin", "b.txt": b"two"})
    assert (version.number, set(version.files)) == (1, {"a.bin", "b.txt"})
    (tmp_path / "out").mkdir()
    paths = await real.datasets.download(dataset.id, tmp_path / "out")
    assert [path.read_bytes() for path in paths] == [content, b"two"]
    with pytest.raises(errors.Conflict):
        await real.datasets.create("numbers")
    with pytest.raises(errors.NotFound, match="1 versions"):
        await real.datasets.download(dataset.id, tmp_path, version=2)
    assert [model async for model in real.models.iterate()] == []
    await real.files.delete(file.id)
    assert file.id not in [one.id async for one in real.files.iterate()]


async def test_workspaces_see_nothing_of_one_another(stack: Stack, real: AsyncClient) -> None:
    await real.workspaces.create("lab", title="Lab")
    async with AsyncClient(stack.url, workspace="lab") as lab:
        run = await lab.runs.submit("noop", {"echo": 1}, name="mine")
        assert (await lab.runs.wait(run.id, PATIENCE_S)).workspace == "lab"
        with pytest.raises(errors.NotFound):
            await real.runs.get(run.id)
        assert [one.name async for one in lab.runs.iterate()] == ["mine"]
    assert {one.id for one in await real.workspaces.list_all()} >= {"main", "lab"}
    async with AsyncClient(stack.url, workspace="nowhere") as nowhere:
        with pytest.raises(errors.NotFound, match="nowhere"):
            await nowhere.runs.page()


async def test_the_ledger_live_and_past(stack: Stack, real: AsyncClient) -> None:
    seen: list[Fact] = []

    async def follow() -> None:
        facts = real.ledger.follow(types=["run.submitted.v1"])
        while True:
            seen.append(await anext(facts))

    ids: list[str] = []
    following = asyncio.create_task(follow())
    async with asyncio.timeout(PATIENCE_S):
        while not seen:  # nobody tells where "from now on" is: that something is seen shows that it has begun
            ids.append((await real.runs.submit("noop")).id)
            await asyncio.sleep(0.1)
        ids.append((await real.runs.submit("noop")).id)
        await stack.wait_replaced("gateway", stack.kill("gateway"), PATIENCE_S)
        ids.append((await real.runs.submit("noop")).id)
        while seen[-1].event.subject != f"main/run/{ids[-1]}":
            await asyncio.sleep(0.05)
    following.cancel()
    await asyncio.wait([following])
    told = [fact.event.subject for fact in seen]
    assert len(told) >= 3
    assert told == [f"main/run/{id_}" for id_ in ids][-len(told) :]
    after = seen[0].sequence - 1
    past = [fact async for fact in real.ledger.iterate(after=after, types=["run.submitted.v1"])]
    assert past == seen


def test_without_a_loop_from_several_threads(stack: Stack) -> None:
    with Client(stack.url) as client:
        assert {"command", "noop"} <= {workload.name for workload in client.workloads()}
        assert client.workload("noop").params_schema["type"] == "object"
        assert "ready" in [runner.state for runner in client.runners()]
        results: list[object] = []

        def work(number: int) -> None:
            run = client.runs.submit("noop", {"echo": number})
            results.append(client.runs.wait(run.id, PATIENCE_S).result)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert sorted(map(str, results)) == [str(number) for number in range(8)]
        run = client.runs.submit("command", counting(30))
        assert [line.message for line in client.runs.follow_logs(run.id)] == [f"line {n}" for n in range(30)]
