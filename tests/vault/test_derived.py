"""What is derived from a data subject's dataset is that data subject's too, and goes with it."""

import asyncio
from pathlib import Path

import httpx
import pytest

from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SECRET = "Ada-Lovelace-17-Analytical-Street"
DATA = {
    "metadata": {
        "id": "a" * 32,
        "name": "people",
        "type": "master_data",
        "creation_datetime": "2026-01-15 10:30:00.123456",
    },
    "tables": {"t": {"data": [{"who": SECRET}], "columns": ["who"], "index": [0]}},
}


async def test_a_derived_dataset_is_erased_with_its_source(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        at = f"{stack.url}/algomancy/api/v1/sessions"
        async with httpx.AsyncClient(timeout=60) as http:
            workspace = (await http.get(at)).json()["default"].replace("-", "")
            sealed = {"Trialbook-Data-Subject": "participant-17", "Trialbook-Workspace": workspace}
            assert (await http.post(f"{at}/main/data/from-json", json=DATA, headers=sealed)).status_code == 201
            derived = await http.post(f"{at}/main/data/people/derive", json={"new_key": "again"})
            assert derived.status_code == 201, derived.text
            assert SECRET in (await http.get(f"{at}/main/data/again")).text
            order = {"data_subject": "participant-17"}
            erasure = await http.post(
                f"{stack.url}/v1/erasures", json=order, headers={"Trialbook-Workspace": workspace}
            )
            assert erasure.status_code in (200, 202), erasure.text
            while erasure.json()["status"] != "erased":
                await asyncio.sleep(0.1)
                path = f"{stack.url}/v1/erasures/{erasure.json()['id']}"
                erasure = await http.get(path, headers={"Trialbook-Workspace": workspace})
                assert erasure.is_success, erasure.text
            for key in ("people", "again"):
                gone = await http.get(f"{at}/main/data/{key}")
                assert (gone.status_code, SECRET in gone.text) == (404, False)
            while not (left := (await http.get(f"{at}/main/scenarios")).json()):
                await asyncio.sleep(0.1)  # the session's own are made in the background after the start
            assert [scenario["tag"] for scenario in left] == ["example_data [auto]"]


async def test_an_erased_experiment_leaves_the_list_readable(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack, httpx.AsyncClient(base_url=stack.url, timeout=60) as http:
        for name, headers in (("kept", {}), ("erased", {"Trialbook-Data-Subject": "participant-17"})):
            order = {"dataset": "mexican_3_9", "experiment_name": name}
            made = await http.post("/marketplace/api/experiments", json=order, headers=headers)
            assert made.status_code == 200, made.text
        for name in ("kept", "erased"):
            while (await http.get(f"/marketplace/api/experiments/{name}/status")).json()["status"] != "completed":
                await asyncio.sleep(0.1)
        erasure = await http.post("/v1/erasures", json={"data_subject": "participant-17"})
        while erasure.json()["status"] != "erased":
            await asyncio.sleep(0.1)
            erasure = await http.get(f"/v1/erasures/{erasure.json()['id']}")
        listed = await http.get("/marketplace/api/experiments")
        assert listed.status_code == 200, listed.text
        assert "kept" in listed.text
        assert "erased" not in listed.text
        assert (await http.get("/marketplace/api/experiments/erased/status")).status_code == 404
        sealed = [run for run in (await http.get("/v1/runs")).json()["items"] if run["title"] == "(sealed)"]
        assert [(await http.delete(f"/v1/runs/{run['id']}")).status_code for run in sealed] == [204]
