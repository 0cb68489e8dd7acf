"""What is too large for a signal: shortened in the tables, whole in the history, and no reason to fail."""

from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest
import yaml

from tests.dialects.marketplace.client import BUSINESS, CUSTOMER, Market
from trialbook_runner.records import MAX_RECORD_BYTES
from trialbook_runner.workloads.shortened import shortened


@pytest.mark.parametrize(
    "large",
    [
        "x" * 2_000_000,
        "😀" * 1_000_000,
        ["x" * 1000] * 5_000,
        {f"item {n}": n for n in range(200_000)},
        [{"name": "x" * 5_000, "menu": {f"item {n}": 1.5 for n in range(500)}}] * 300,
    ],
    ids=["text", "emoji", "list", "object", "nested"],
)
def test_a_shortened_row_fits_and_keeps_its_shape(large: Any) -> None:
    data = {"agent_id": "c1", "request": {"name": "Search"}, "result": {"content": large, "is_error": False}}
    cut = shortened(data)
    assert len(msgspec.json.encode(cut)) <= MAX_RECORD_BYTES
    assert cut["shortened"] is True
    assert (cut["agent_id"], cut["request"], cut["result"]["is_error"]) == ("c1", {"name": "Search"}, False)
    assert type(cut["result"]["content"]) is type(large)
    assert cut["result"]["content"] != large


def test_a_cut_text_says_how_much_is_missing() -> None:
    assert shortened({"a": "x" * 600_000})["a"].endswith(f"x [{600_000 - 32_768} more characters]")


@pytest.mark.integration
async def test_an_experiment_with_rows_beyond_a_signal_completes_and_its_history_is_whole(
    market: Market, name: str
) -> None:
    prose = "A quiet courtyard. " * 1_000
    businesses = [
        yaml.safe_load(BUSINESS % (n, n, 4.5 + n / 4)) | {"description": f"{n} {prose}".strip()} for n in range(1, 41)
    ]
    body = {"name": f"d_{name}", "customers": [yaml.safe_load(CUSTOMER)], "businesses": businesses}
    stored = await market.http.post("/marketplace/api/datasets/upload", json=body)
    assert stored.status_code == 200, stored.text
    await market.done(name, dataset=stored.json()["name"], search_bandwidth=40)
    table = await market.http.get(f"/v1/runs/{(await market.get(f'{name}/runs'))[0]['id']}/rows/action")
    first = table.json()["items"][0]["data"]
    assert (first["request"]["name"], first["shortened"]) == ("Search", True)
    assert len(first["result"]["content"]["businesses"]) == 40
    history = await market.http.get(f"/marketplace/api/experiments/{name}/export", params={"format": "jsonl"})
    rows = [json.loads(line) for line in gzip.decompress(history.content).splitlines()]
    searches = [row for row in rows if row["kind"] == "action" and row["data"]["request"]["name"] == "Search"]
    found = searches[0]["data"]["result"]["content"]["businesses"]
    assert [hit["business"]["description"] for hit in found] == [b["description"] for b in businesses]
    assert (await market.get(f"{name}/analytics"))["customers_with_needs_met"] == 1
