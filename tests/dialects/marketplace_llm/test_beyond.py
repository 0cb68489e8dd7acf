"""Datasets over HTTP, biases of buyers, and sweeps with their welfare beside the baselines."""

from __future__ import annotations

import asyncio
import io
import zipfile
from typing import Any

import pytest

from tests.dialects.marketplace.client import PATIENCE_S, Market
from tests.dialects.marketplace_llm.scripted import ModelProcesses, Scripted
from trialbook.ids import UUIDv7Source
from trialbook_marketplace.datasets import bundled_root, load_dataset
from trialbook_marketplace.generator import Recipe, generate
from trialbook_marketplace.writer import dataset_files

pytestmark = pytest.mark.integration
RULES = {"customer_policy": "cheapest_with_amenities", "business_policy": "rule_based"}


@pytest.fixture
def dataset_name() -> str:
    return f"bakery_{UUIDv7Source().new()[-8:]}"


async def post(market: Market, path: str, status: int = 200, **request: Any) -> Any:
    reply = await market.http.post(f"/marketplace/api/{path}", **request)
    assert reply.status_code == status, reply.text
    return reply.json()


async def listed(market: Market) -> dict[str, dict[str, Any]]:
    reply = await market.http.get("/api/datasets")
    return {found["name"]: found for found in reply.json()}


async def test_a_generated_dataset_is_listed_validated_and_used(
    market: Market, script: Scripted, stack: ModelProcesses, name: str, dataset_name: str
) -> None:
    recipe = {"theme": "mexican", "customers": 2, "seed": 5, "name": dataset_name}
    made = await post(market, "datasets/generate", json=recipe)
    assert (made["name"], made["num_customers"], made["num_businesses"]) == (dataset_name, 2, 6)
    assert (await listed(market))[dataset_name] == made
    stack.restart("gateway")
    stack.wait_ready()
    assert (await listed(market))[dataset_name] == made
    query = {"dataset": dataset_name}
    report = (await market.http.get("/marketplace/api/datasets/validation", params=query)).json()
    assert report["passed"], report
    baselines = (await market.http.get("/marketplace/api/datasets/baselines", params=query)).json()
    await market.done(name, dataset=dataset_name, search_algorithm="optimal", search_bandwidth=3, **RULES)
    found = await market.get(f"{name}/analytics")
    assert found["total_marketplace_customer_utility"] == baselines["pick_optimal"]
    assert found["baselines"]["welfare_share_of_optimal"] == 1.0


async def test_uploads_in_both_forms_are_the_same_dataset(market: Market, name: str, dataset_name: str) -> None:
    dataset = load_dataset(bundled_root() / "mexican_3_9")
    plain = dataset.snapshot()
    body = {"name": dataset_name, "customers": plain["customers"], "businesses": plain["businesses"]}
    first = await post(market, "datasets/upload", json=body)
    assert await post(market, "datasets/upload", json=body) == first
    generated = generate(Recipe("mexican", 1, 3))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in dataset_files(generated).items():
            archive.writestr(f"top/{path}", content)
    headers = {"content-type": "application/octet-stream"}
    second = await post(
        market, "datasets/archive", params={"name": dataset_name}, content=packed.getvalue(), headers=headers
    )
    assert second["num_customers"] == 1
    assert second["path"] != first["path"]
    await market.done(name, dataset=dataset_name, **RULES)
    assert (await market.get(f"{name}/analytics"))["total_customers"] == 1


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("customers/a.yaml", b"a" * 20_000_000)
    return packed.getvalue()


def outside() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../customers/a.yaml", b"id: x")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"no zip", "Invalid dataset: the archive cannot be read"),
        (bomb(), "Invalid dataset: a.yaml: the archive holds more than a dataset may"),
        (outside(), "Invalid dataset: businesses: No YAML files found"),
    ],
)
async def test_archives_that_are_none(market: Market, dataset_name: str, content: bytes, text: str) -> None:
    refused = await post(market, "datasets/archive", 400, params={"name": dataset_name}, content=content)
    assert refused["detail"].startswith(text)
    assert dataset_name not in await listed(market)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("generate", {"theme": "x", "customers": 1}, "Unknown theme 'x'."),
        ("generate", {"theme": "mexican", "customers": 1, "manipulation": "x"}, "Unknown manipulation 'x'."),
        ("generate", {"theme": "mexican", "customers": 3}, "Dataset 'mexican_3_9' is shipped"),
        ("generate", {"theme": "mexican", "customers": 1, "name": "../x"}, "Invalid dataset name '../x'."),
        ("upload", {"name": "x", "customers": [{}], "businesses": [{}]}, "Invalid dataset: Object missing"),
    ],
)
async def test_refused_datasets(market: Market, path: str, body: dict[str, Any], text: str) -> None:
    assert (await post(market, f"datasets/{path}", 400, json=body))["detail"].startswith(text)


async def test_the_effect_of_a_manipulated_description_and_of_places(
    market: Market, name: str, dataset_name: str
) -> None:
    recipe = {"theme": "mexican", "customers": 1, "seed": 2, "rating_ladder": True, "manipulation": "authority",
              "target": "business_0002", "name": dataset_name}  # fmt: skip
    await post(market, "datasets/generate", json=recipe)
    await market.done(name, dataset=dataset_name, **RULES)
    found = await market.get(f"{name}/biases")
    target = next(entry for entry in found["businesses"] if entry["business_id"] == "business_0002")
    assert "National Institute" in target["description"]
    assert found["payments"] == 1
    paid = next(entry for entry in found["businesses"] if entry["payments"])
    place = int(paid["business_id"].removeprefix("business_"))
    assert found["payments_by_place"] == {str(place): 1, "unlisted": 0}
    assert found["first_place_share"] == (1.0 if place == 1 else 0.0)


async def test_a_sweep_compares_welfare_with_the_baselines(market: Market, script: Scripted) -> None:
    body = {"dataset": "mexican_3_9", "search_bandwidth": [3, 9], "llm_model": ["small", "large"], "seed": [1, 2],
            "search_algorithm": ["optimal"], "customer_policy": ["llm"], "business_policy": ["rule_based"]}  # fmt: skip
    accepted = await post(market, "sweeps", json=body)
    assert accepted["experiments"] == 8
    async with asyncio.timeout(PATIENCE_S):
        while (table := await read(market, accepted["sweep"]))["status"] not in ("completed", "failed"):
            await asyncio.sleep(0.1)
    assert table["status"] == "completed"
    assert len(table["rows"]) == 8
    for row in table["rows"]:
        assert row["customer_utility"] == row["baselines"]["pick_optimal"]
        assert (row["share_of_optimal"], row["llm_calls"] > 0, row["llm_cost_usd"]) == (1.0, True, None)
    assert {tuple(row["parameters"].values()) for row in table["rows"]} == {
        (bandwidth, "optimal", "llm", "rule_based", model, seed)
        for bandwidth in (3, 9) for model in ("small", "large") for seed in (1, 2)
    }  # fmt: skip
    assert len(table["means"]) == 4
    assert all(mean["experiments"] == 2 and mean["share_of_optimal"] == 1.0 for mean in table["means"])
    assert {asked.model for asked in script.asked} == {"small", "large"}


async def read(market: Market, sweep: str) -> dict[str, Any]:
    reply = await market.http.get(f"/marketplace/api/sweeps/{sweep}")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_refused_sweeps(market: Market) -> None:
    for body, text in (
        ({"dataset": "nothing"}, "Dataset not found: nothing"),
        ({"dataset": "mexican_3_9", "search_bandwidth": [1, 0]}, "search_bandwidth must be at least 1"),
        ({"dataset": "mexican_3_9", "search_algorithm": ["simple", "rnr"]}, "search_algorithm 'rnr' needs optional"),
        ({"dataset": "mexican_3_9", "customer_policy": ["x"]}, "Unknown customer_policy 'x'."),
    ):
        assert (await post(market, "sweeps", 400, json=body))["detail"].startswith(text)
    for missing in ("x", "0" * 32):
        reply = await market.http.get(f"/marketplace/api/sweeps/{missing}")
        assert (reply.status_code, set(reply.json())) == (404, {"detail"})


async def test_rnr_names_what_to_install(market: Market, name: str) -> None:
    order = {"dataset": "mexican_3_9", "experiment_name": name, "search_algorithm": "rnr"}
    assert "pip install 'trialbook[rnr]'" in (await post(market, "experiments", 400, json=order))["detail"]
