"""Every documented request and reply, at both mounts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.dialects.marketplace.client import ENTRY_KEYS, PATIENCE_S, STATUS_KEYS, Market

pytestmark = pytest.mark.integration


async def test_datasets_are_listed_by_name(market: Market, mount: str, dataset_root: Path) -> None:
    reply = await market.http.get(f"{mount}/api/datasets")
    assert reply.status_code == 200
    found = {entry["name"]: entry for entry in reply.json()}
    assert list(found) == sorted(found)
    assert {"mexican_3_9", "mexican_10_30", "mexican_33_99", "mexican_100_300", "tiny_1_2"} <= set(found)
    assert not {"nested", "halved", "data_generation_scripts", ".hidden"} & set(found)
    assert set(found["mexican_3_9"]) == {"name", "path", "num_businesses", "num_customers"}
    assert (found["mexican_3_9"]["num_businesses"], found["mexican_3_9"]["num_customers"]) == (9, 3)
    assert found["tiny_1_2"]["path"] == str((dataset_root / "tiny_1_2").resolve())


async def test_settings_are_the_documented_constants(market: Market, mount: str) -> None:
    reply = await market.http.get(f"{mount}/api/settings")
    assert reply.json() == {
        "default_search_algorithm": "simple", "default_search_bandwidth": 10, "default_postgres_host": "localhost",
        "default_postgres_port": 5432, "available_providers": ["openai", "gemini", "anthropic", "azure_openai"],
    }  # fmt: skip


async def test_the_documented_body_launches_an_experiment_seen_through_both_mounts(
    market: Market, mount: str, name: str
) -> None:
    body = {
        "dataset": "mexican_3_9", "experiment_name": name, "search_algorithm": "simple", "search_bandwidth": 10,
        "customer_max_steps": None, "postgres_host": "localhost", "postgres_port": 5432,
        "postgres_password": "postgres", "override": False, "export_sqlite": False, "a_key_nobody_knows": 1,
    }  # fmt: skip
    reply = await market.http.post(f"{mount}/api/experiments", json=body)
    assert reply.status_code == 200
    expected = {"name": name, "status": "pending", "started_at": None, "completed_at": None, "error": None}
    assert reply.json() == expected
    found = await market.finished(name)
    assert found["status"] == "completed"
    assert found["started_at"] < found["completed_at"]
    assert found["error"] is None
    for other in ("", "/marketplace"):
        assert await market.status(name, other) == found


async def test_a_launched_experiment_is_found_at_once(market: Market, name: str) -> None:
    for number in range(20):
        one = f"{name}_{number}"
        await market.launch(one, "tiny_1_2")
        assert (await market.status(one))["status"] in ("pending", "running", "completed")
        assert one in [summary["schema_name"] for summary in await market.get("")]
        await market.get(f"{one}/logs")


async def test_the_list_counts_what_was_recorded(market: Market, mount: str, name: str) -> None:
    await market.done(name)
    logs = await market.get(f"{name}/logs", limit=1000)
    reply = await market.http.get(f"{mount}/api/experiments", params={"host": "h", "port": 1, "password": "secret"})
    assert reply.status_code == 200
    summary = next(entry for entry in reply.json() if entry["schema_name"] == name)
    assert set(summary) == {
        "schema_name", "first_activity", "last_activity", "agents_count", "actions_count", "logs_count",
        "llm_providers",
    }  # fmt: skip
    assert (summary["agents_count"], summary["logs_count"], summary["llm_providers"]) == (12, logs["total"], [])
    analytics = await market.get(f"{name}/analytics")
    assert summary["actions_count"] == analytics["total_actions_executed"]
    assert summary["first_activity"] < summary["last_activity"]


async def test_the_list_is_newest_first_and_limited(market: Market, name: str) -> None:
    for number in range(3):
        await market.done(f"{name}_{number}", dataset="tiny_1_2")
    names = [entry["schema_name"] for entry in await market.get("") if entry["schema_name"].startswith(name)]
    assert names == [f"{name}_2", f"{name}_1", f"{name}_0"]
    whole = await market.get("")
    assert await market.get("", limit=2) == whole[:2]
    for everything in (0, -1):
        assert len(await market.get("", limit=everything)) >= len(whole)


async def test_log_entries_are_the_documented_ones(market: Market, mount: str, name: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    reply = await market.http.get(f"{mount}/api/experiments/{name}/logs", params={"limit": 1000})
    page = reply.json()
    assert set(page) == {"logs", "total", "has_more"}
    assert (page["total"], page["has_more"]) == (len(page["logs"]), False)
    assert all(set(entry) == ENTRY_KEYS for entry in page["logs"])
    first, *others = page["logs"]
    assert (first["level"], first["message"], first["agent_id"]) == ("info", "Marketplace experiment started", None)
    assert first["data"] == {"experiment_name": name, "dataset": "tiny_1_2", "businesses": 2, "customers": 1}
    assert [(e["message"], e["data"], e["agent_id"]) for e in others[:3]] == [
        ("Customer agent registered", {"customer_id": "customer_0001"}, "customer_0001"),
        ("Business agent registered", {"business_id": "business_0001"}, "business_0001"),
        ("Business agent registered", {"business_id": "business_0002"}, "business_0002"),
    ]
    assert all(entry["agent_id"] for entry in others)
    assert all(entry["timestamp"].endswith("Z") for entry in page["logs"])
    assert any(entry["message"].startswith("Sending payment message to business_000") for entry in others)


async def test_an_experiment_without_a_name_gets_one(market: Market) -> None:
    names = [await market.launch(empty, "tiny_1_2") for empty in (None, "")]
    assert all(name.startswith("marketplace_1_2_") and name[16:].isdigit() for name in names)
    assert len(set(names)) == 2


async def test_the_python_example_of_the_documentation_works(market: Market, name: str) -> None:
    base = str(market.http.base_url)
    datasets = (await market.http.get(f"{base}/api/datasets")).json()
    assert datasets
    config = {"dataset": "mexican_3_9", "experiment_name": name, "search_bandwidth": 20}
    status = (await market.http.post(f"{base}/api/experiments", json=config)).json()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            current = (await market.http.get(f"{base}/api/experiments/{status['name']}/status")).json()
            if current["status"] in ["completed", "failed"]:
                break
            await asyncio.sleep(0.01)
    assert current["status"] == "completed"
    assert set(current) == STATUS_KEYS


async def test_health_index_and_documents(market: Market) -> None:
    http = market.http
    assert (await http.get("/marketplace/health")).json() == {"status": "healthy"}
    for path in ("/health", "/api/v1/health"):
        body = (await http.get(path)).json()
        assert body["status"] == "healthy"
        assert body["services"] == {"api": "healthy", "nats": "healthy", "projector": "healthy", "runners": "healthy"}
        assert {"version", "service", "title", "timestamp", "sessions", "workflows_available"} <= set(body)
    index = (await http.get("/")).json()
    assert index["prefixes"]["marketplace"] == "/marketplace"
    assert "/api/experiments/{name}/status" in index["endpoints"]["marketplace"]
    for path in ("/docs", "/redoc", "/marketplace/docs", "/marketplace/redoc"):
        assert "html" in (await http.get(path)).headers["content-type"]
    root, own = (await http.get("/openapi.json")).json(), (await http.get("/marketplace/openapi.json")).json()
    assert {"/api/experiments", "/v1/runs", "/health"} <= set(root["paths"])
    assert "/api/experiments/{name}/cancel" in own["paths"]
    assert "/api/experiments/{name}/cancel" not in root["paths"]


async def test_every_reply_carries_the_request_id(market: Market, mount: str) -> None:
    given = await market.http.get(f"{mount}/api/settings", headers={"X-Request-ID": "mine-1"})
    assert given.headers["X-Request-ID"] == "mine-1"
    refused = await market.http.get(f"{mount}/api/experiments/no-name/status")
    assert refused.headers["X-Request-ID"]
