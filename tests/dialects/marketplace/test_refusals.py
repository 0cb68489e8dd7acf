"""Every documented refusal: status and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dialects.marketplace.client import Market, write_dataset

pytestmark = pytest.mark.integration
BAD_NAMES = ["test-experiment", "test;DROP TABLE", "123experiment", "a.b", "a'b", "a$b", "ä", "a\n", " a"]
ONLY = "Only alphanumeric characters and underscores are allowed."


async def refused(market: Market, body: dict[str, Any], mount: str = "/marketplace") -> tuple[int, Any]:
    reply = await market.http.post(f"{mount}/api/experiments", json=body)
    assert set(reply.json()) == {"detail"}
    return reply.status_code, reply.json()["detail"]


@pytest.mark.parametrize("bad", BAD_NAMES)
async def test_names_are_checked_on_every_route(market: Market, bad: str, mount: str) -> None:
    text = f"Invalid experiment name '{bad}'. {ONLY}"
    assert await refused(market, {"dataset": "mexican_3_9", "experiment_name": bad}, mount) == (400, text)
    for route in ("status", "logs"):
        path = bad.replace("\n", "%0A").replace(" ", "%20").replace("ä", "%C3%A4").replace(";", "%3B")
        reply = await market.http.get(f"{mount}/api/experiments/{path}/{route}")
        assert (reply.status_code, reply.json()) == (400, {"detail": text})


async def test_reserved_and_overlong_names_are_refused_with_the_reason(market: Market, mount: str) -> None:
    for bad in ("exp_0123456789ab", "a" * 64):
        status, text = await refused(market, {"dataset": "mexican_3_9", "experiment_name": bad}, mount)
        assert status == 400
        assert text.startswith(f"Invalid experiment name '{bad}'. ")
        assert ONLY not in text
    await market.launch("b" * 63, "tiny_1_2", override=True)
    await market.launch("exp_0123456789abc", "tiny_1_2", override=True)


@pytest.mark.parametrize("dataset", ["nothing_here", "../etc", "/etc", "", "/", ".", "a\tb", "x" * 5000])
async def test_unknown_datasets(market: Market, dataset: str) -> None:
    assert await refused(market, {"dataset": dataset}) == (400, f"Dataset not found: {dataset}")


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        ("halved", "Invalid dataset: missing businesses/ or customers/ directories"),
        ("empty", "Invalid dataset: businesses: No YAML files found in businesses directory: "),
        ("garbled", "Invalid dataset: customers/customer_0001.yaml: "),
        ("lacking", "Invalid dataset: businesses/business_0002.yaml: Object missing required field"),
        ("doubled", "Invalid dataset: businesses/business_0003.yaml: duplicate id 'business_0001'"),
    ],
)
async def test_invalid_datasets(market: Market, dataset: str, text: str) -> None:
    status, detail = await refused(market, {"dataset": dataset})
    assert (status, detail[: len(text)]) == (400, text)


async def test_a_dataset_is_found_by_relative_and_by_absolute_path_inside_a_root(
    market: Market, name: str, dataset_root: Path, tmp_path: Path
) -> None:
    await market.done(f"{name}_1", dataset="nested/inner_1_2")
    await market.done(f"{name}_2", dataset=str(dataset_root / "tiny_1_2"))
    outside = write_dataset(tmp_path / "outside_1_2")
    assert await refused(market, {"dataset": str(outside)}) == (400, f"Dataset not found: {outside}")
    (dataset_root / "link_1_2").symlink_to(outside)
    assert await refused(market, {"dataset": "link_1_2"}) == (400, "Dataset not found: link_1_2")
    (dataset_root / "link_1_2").unlink()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"search_algorithm": "magic"},
            "Unknown search_algorithm 'magic'. Choose one of: simple, rnr, filtered, lexical, optimal.",
        ),
        ({"search_bandwidth": 0}, "search_bandwidth must be at least 1"),
        ({"customer_max_steps": 0}, "customer_max_steps must be at least 1"),
        (
            {"customer_policy": "greedy"},
            "Unknown customer_policy 'greedy'. Choose one of: llm, random, cheapest, cheapest_with_amenities, optimal.",
        ),
        ({"business_policy": "x"}, "Unknown business_policy 'x'. Choose one of: llm, rule_based."),
        (
            {"customer_policy": "llm", "llm_provider": "openai"},
            "LLM provider 'openai' is not configured: OPENAI_API_KEY is missing",
        ),
    ],
)
async def test_refused_before_launch(market: Market, body: dict[str, Any], text: str, name: str) -> None:
    order = {"dataset": "mexican_3_9", "experiment_name": name, **body}
    assert await refused(market, order) == (400, text)
    missing = await market.http.get(f"/marketplace/api/experiments/{name}/status")
    assert (missing.status_code, missing.json()) == (404, {"detail": f"Experiment '{name}' not found in tracker"})


async def test_more_that_is_400(market: Market) -> None:
    for body in ({"search_algorithm": "rnr"}, {"customer_policy": "llm"}, {"export_filename": "../x.db"}):
        assert (await refused(market, {"dataset": "mexican_3_9", **body}))[0] == 400


async def test_the_order_of_the_checks(market: Market, name: str) -> None:
    await market.launch(name, "tiny_1_2")
    wrong = {
        "experiment_name": "a-b", "dataset": "nothing", "search_algorithm": "magic", "search_bandwidth": 0,
        "customer_max_steps": 0, "customer_policy": "x",
    }  # fmt: skip
    right = {
        "experiment_name": name, "dataset": "tiny_1_2", "search_algorithm": "simple", "search_bandwidth": 1,
        "customer_max_steps": 1, "customer_policy": "random",
    }  # fmt: skip
    expected = [
        "Invalid experiment name", "Dataset not found", "Unknown search_algorithm", "search_bandwidth must",
        "customer_max_steps must", "Unknown customer_policy", f"Experiment '{name}' already exists.",
    ]  # fmt: skip
    for start in expected:
        status, text = await refused(market, wrong)
        assert (status, text[: len(start)]) == (400, start)
        if key := next((key for key in wrong if wrong[key] != right[key]), None):
            wrong[key] = right[key]


async def test_an_existing_name_is_refused_unless_overridden(market: Market, name: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    text = f"Experiment '{name}' already exists. Use override=true to replace it."
    assert await refused(market, {"dataset": "tiny_1_2", "experiment_name": name}) == (400, text)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'"x"', b'{"dataset": 3}', b'{"dataset": "mexican_3_9", "search_bandwidth": "x"}',
        b"\xff\xfe",
        b'{"dataset": "mexican_3_9", "search_bandwidth": 1.5}', b'{"dataset": "mexican_3_9", "override": "perhaps"}',
        b'{"dataset": "mexican_3_9", "seed": 99999999999999999999}', b'{"dataset": "a", "export_dir": "\\u0000"}',
        b'{"dataset": "mexican_3_9", "seed": NaN}', b'{"experiment_name": "x"}', b"[" * 100_000,
    ],
)  # fmt: skip
async def test_bodies_of_wrong_types(market: Market, content: bytes, mount: str) -> None:
    headers = {"content-type": "application/json"}
    reply = await market.http.post(f"{mount}/api/experiments", content=content, headers=headers)
    assert reply.status_code in (400, 422), reply.text
    assert set(reply.json()) == {"detail"}


async def test_a_body_over_the_limit_is_413(market: Market, mount: str) -> None:
    reply = await market.http.post(f"{mount}/api/experiments", json={"dataset": "x" * 5_000_000})
    assert reply.status_code == 413
    assert set(reply.json()) == {"detail"}


async def test_unknown_experiments(market: Market, mount: str) -> None:
    status = await market.http.get(f"{mount}/api/experiments/unknown_one/status")
    assert (status.status_code, status.json()) == (404, {"detail": "Experiment 'unknown_one' not found in tracker"})
    logs = await market.http.get(f"{mount}/api/experiments/unknown_one/logs")
    assert (logs.status_code, logs.json()) == (404, {"detail": "Experiment 'unknown_one' not found"})


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"since": "yesterday"}, 400, "Invalid timestamp format: yesterday"),
        ({"since": ""}, 400, "Invalid timestamp format: "),
        ({"since": "2024-13-45T00:00:00Z"}, 400, "Invalid timestamp format: 2024-13-45T00:00:00Z"),
        ({"cursor": "zzz"}, 400, "Invalid cursor: zzz"),
        ({"cursor": "cffffffffffffffff"}, 400, "Invalid cursor: cffffffffffffffff"),
        ({"limit": 0}, 422, None),
        ({"limit": 1001}, 422, None),
        ({"limit": "x"}, 422, None),
        ({"port": "x"}, 422, None),
    ],
)
async def test_bad_log_queries(
    market: Market, name: str, query: dict[str, Any], status: int, text: str | None, mount: str
) -> None:
    await market.launch(name, "tiny_1_2", override=True)
    reply = await market.http.get(f"{mount}/api/experiments/{name}/logs", params=query)
    assert reply.status_code == status
    assert text is None or reply.json() == {"detail": text}


async def test_wrong_methods_and_unknown_paths_have_the_shape_of_the_group(market: Market) -> None:
    for method, path, status in [
        ("DELETE", "/marketplace/api/experiments", 405), ("PUT", "/api/datasets", 405),
        ("GET", "/marketplace/nothing", 404), ("GET", "/api/experiments/a/b/c", 404), ("GET", "/nothing", 404),
        ("POST", "/api/experiments/a/cancel", 404),
    ]:  # fmt: skip
        reply = await market.http.request(method, path)
        assert (reply.status_code, set(reply.json())) == (status, {"detail"}), path
        assert isinstance(reply.json()["detail"], str)
