"""Scenarios and runs beside each other, as JSON and as tables."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from openpyxl import load_workbook

from tests.dialects.algomancy.client import Session

pytestmark = pytest.mark.integration
KPIS = ["Travel Distance", "Zone Balance", "Reslot Cost"]


@pytest.fixture
def pair(session: Session) -> list[Any]:
    """The present arrangement and the greedy one, both complete; the tags look like formulas."""
    made = [session.create("example_data", f"{name} Slotting", tag=f"=1+{name}") for name in ("AsIs", "Greedy")]
    for scenario in made:
        session.run(scenario)
    return [session.ended(scenario) for scenario in made]


def test_kpis_have_a_best_and_differences_to_a_baseline(session: Session, pair: list[Any]) -> None:
    as_is, greedy = pair
    session.create("example_data", "Instant")
    found = session.call("GET", "/scenarios/compare")
    assert [measure["key"] for measure in found["measures"]] == KPIS
    assert [row["tag"] for row in found["rows"]] == [as_is["tag"], greedy["tag"]]  # what is complete
    assert found["baseline"] == as_is["id"]
    assert {measure["key"]: measure["best"] for measure in found["measures"]} == {
        "Travel Distance": [greedy["id"]], "Zone Balance": [as_is["id"]], "Reslot Cost": [as_is["id"]],
    }  # fmt: skip
    cell = found["rows"][1]["values"]["Travel Distance"]
    value, base = (one["kpis"]["Travel Distance"]["value"] for one in (greedy, as_is))
    assert cell == {
        "value": value, "meets_threshold": None, "best": True, "difference": value - base,
        "relative_difference": (value - base) / base, "better": 1,
    }  # fmt: skip
    reslot = found["rows"][1]["values"]["Reslot Cost"]
    assert (reslot["difference"], reslot["relative_difference"], reslot["better"]) == (150.0, None, -1)  # from 0


def test_scenarios_and_kpis_are_chosen(session: Session, pair: list[Any]) -> None:
    as_is, greedy = pair
    new = session.create("example_data", "Instant")
    params = {"ids": f"{new['id']},{greedy['id']}", "kpis": "Travel Distance", "baseline": as_is["id"]}
    found = session.call("GET", "/scenarios/compare", params=params)
    assert [row["id"] for row in found["rows"]] == [as_is["id"], new["id"], greedy["id"]]
    assert list(found["rows"][1]["values"]) == ["Travel Distance"]
    assert found["rows"][1]["values"]["Travel Distance"]["value"] is None  # not the sentinel
    assert "'x'" in session.detail("GET", "/scenarios/compare", 404, params={"ids": "x"})
    assert "'x'" in session.detail("GET", "/scenarios/compare", 404, params={"kpis": "x"})
    session.detail("GET", "/scenarios/compare", 422, params={"format": "pdf"})


def test_tables_hold_the_same(session: Session, pair: list[Any], http: httpx.Client) -> None:
    url = f"/algomancy/api/v1/sessions/{session.id}/scenarios/compare"
    tags = [one["tag"] for one in pair]
    distances = [one["kpis"]["Travel Distance"]["value"] for one in pair]
    text = http.get(url, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert text.headers["vary"] == "Accept"
    assert [row["tag"] for row in rows] == tags
    assert [float(row["Travel Distance [m]"]) for row in rows] == distances
    assert [row["Travel Distance: best"] for row in rows] == ["false", "true"]
    parquet = pq.read_table(io.BytesIO(http.get(url, params={"format": "parquet"}).content)).to_pydict()
    assert (parquet["tag"], parquet["Travel Distance [m]"]) == (tags, distances)
    assert parquet["Reslot Cost: relative difference"] == [None, None]
    sheet = load_workbook(io.BytesIO(http.get(url, params={"format": "xlsx"}).content)).active
    assert sheet is not None
    cells = [sheet.cell(row, 2) for row in (2, 3)]
    assert [(cell.value, cell.data_type) for cell in cells] == [(tag, "s") for tag in tags]
    assert sheet.cell(2, 7).value == pytest.approx(distances[0], rel=1e-15)  # xlsx holds 16 digits


def test_runs_are_compared_by_their_numbers(session: Session, pair: list[Any], http: httpx.Client) -> None:
    ids = [one["id"].replace("-", "") for one in pair]
    headers = {"Trialbook-Workspace": session.id.replace("-", "")}
    name = "result.kpis.Travel Distance"
    params: dict[str, Any] = {"run": ids, "better": [f"{name}:lower"], "measure": [name, "metric.none"]}
    found = http.get("/v1/compare", params=params, headers=headers).json()
    assert [measure["best"] for measure in found["measures"]] == [[ids[1]], []]
    assert [row["values"][name]["better"] for row in found["rows"]] == [0, 1]
    assert [row["values"]["metric.none"]["value"] for row in found["rows"]] == [None, None]
    everything = http.get("/v1/compare", params={"run": ids, "format": "csv"}, headers=headers)
    assert "result.kpis.Zone Balance" in everything.text.splitlines()[0]
    threshold = http.get("/v1/compare", params={**params, "better": f"{name}:at_most:150000"}, headers=headers).json()
    assert [row["values"][name]["meets_threshold"] for row in threshold["rows"]] == [False, True]


@pytest.mark.parametrize(
    ("query", "status"),
    [("run=x", 422), (f"run={'0' * 32}", 404), ("", 422), (f"run={'0' * 32}&better=a", 422),
     (f"run={'0' * 32}&better=a:at_least:x", 422), (f"run={'0' * 32}&nothing=1", 422)],
)  # fmt: skip
def test_a_comparison_of_nothing_is_refused(http: httpx.Client, query: str, status: int) -> None:
    assert http.get(f"/v1/compare?{query}").status_code == status
