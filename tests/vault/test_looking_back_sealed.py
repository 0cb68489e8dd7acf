"""Looking back at what belongs to a data subject: as it reads now, so it reads then; after an erasure nowhere."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ledger.living import ended, got, outcome
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]
SECRET = "Grace-Hopper-9-Compiler-Lane"
PERSON = {"Trialbook-Data-Subject": "participant-9"}


async def submitted(http: httpx.AsyncClient) -> tuple[str, str, int]:
    """A failed run and a dataset of the person, and the moment at which both had not changed again yet."""
    order = {"workload": "command", "params": {"argv": ["false", SECRET]}, "title": SECRET, "labels": {"who": SECRET}}
    run = (await http.post("/v1/runs", json=order, headers=PERSON)).json()["id"]
    body = {"name": SECRET, "description": SECRET}
    created = await http.post("/v1/datasets", json=body, headers=PERSON)
    dataset = created.json()["id"]
    # The run may have failed before the dataset was there.
    moment = max((await ended(http, run, "failed"))["sequence"], int(created.headers["Trialbook-Sequence"]))
    assert (await http.post(f"/v1/runs/{run}/retry")).is_success
    assert (await http.delete(f"/v1/datasets/{dataset}")).is_success
    await ended(http, run, "failed")
    return run, dataset, int(moment)


def paths(run: str, dataset: str, moment: int) -> list[str]:
    """Every kind of look back that folds sealed facts again or tells them."""
    return [
        f"/v1/runs/{run}?as_of={moment}",
        f"/v1/runs?as_of={moment}",
        f"/v1/datasets/{dataset}?as_of={moment}",
        f"/v1/runs/{run}/diff?from=0&to={moment}",
        f"/v1/datasets/{dataset}/diff?from=0&to={moment}",
        f"/v1/workspaces/main/diff?from=0&to={moment}",
        f"/v1/audit/trail/{run}",
        f"/v1/audit/trail/{dataset}",
    ]


async def erase(http: httpx.AsyncClient) -> None:
    reply = await http.post("/v1/erasures", json={"data_subject": "participant-9"})
    assert reply.status_code in (200, 202), reply.text
    erasure: dict[str, Any] = reply.json()
    while erasure["status"] != "erased":
        erasure = (await http.get(f"/v1/erasures/{erasure['id']}")).json()


async def test_a_replay_belongs_to_the_data_subject_of_its_original(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack, httpx.AsyncClient(base_url=stack.url, timeout=30) as http:
        order = {"workload": "command", "params": {"argv": ["echo", SECRET]}, "title": SECRET}
        run = (await http.post("/v1/runs", json=order, headers=PERSON)).json()["id"]
        await ended(http, run, "completed")
        replay = (await http.post(f"/v1/runs/{run}/replay")).json()["id"]
        done = await ended(http, replay, "completed")
        assert SECRET in done["title"]
        assert SECRET.encode() not in await got(http, f"/v1/events?after=0&limit=1000&at_least={done['sequence']}")

        await erase(http)
        for path in (f"/v1/runs/{replay}", f"/v1/runs/{replay}/logs", f"/v1/audit/trail/{replay}"):
            assert SECRET.encode() not in await got(http, path)
        refused = await http.post(f"/v1/runs/{run}/replay")
        assert (refused.status_code, refused.json()["code"]) == (409, "data_subject_erased")


async def test_readers_see_then_what_they_see_now_until_the_erasure(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack, httpx.AsyncClient(base_url=stack.url, timeout=30) as http:
        run, dataset, moment = await submitted(http)
        await stack.wait_replaced("projector", stack.kill("projector"), 60)  # the new one has no key at hand
        asked = paths(run, dataset, moment)
        before = {path: await got(http, path) for path in asked}
        assert [path for path, said in before.items() if SECRET.encode() not in said] == []
        assert [path for path, said in before.items() if b"(sealed)" in said] == []

        assert await outcome("seal", "--before", "1s", "--data-dir", str(tmp_path)) == 0
        assert {path: await got(http, path) for path in asked} == before

        await erase(http)
        after = {path: await got(http, path) for path in asked}
        assert [path for path, said in after.items() if SECRET.encode() in said] == []
