"""Sweeps: all scenarios or none, in order, compared, cancelled together."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.dialects.algomancy.client import Session

pytestmark = pytest.mark.integration


def body(**more: Any) -> dict[str, Any]:
    return {"tag_prefix": "sweep", "dataset_key": "example_data", "algo_name": "SA Slotting", **more}


def finished(session: Session, sweep: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while not (found := session.call("GET", f"/sweeps/{sweep['id']}"))["finished"]:
        assert time.monotonic() < deadline, found["counts"]
        time.sleep(0.1)
    assert isinstance(found, dict)
    return found


def parameters(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["parameters"])["parameters"]
    return found


def test_a_grid_is_run_in_order_and_compared(session: Session) -> None:
    grid = {"iterations": [1, 200], "seed": [7, 8]}
    made = session.call("POST", "/sweeps", 201, json=body(grid=grid, algo_params={"depot_x": 1.5}, run=True))
    found = finished(session, made)
    assert found["counts"] == {"complete": 4}
    rows = found["comparison"]["rows"]
    assert [row["tag"] for row in rows] == ["sweep 1", "sweep 2", "sweep 3", "sweep 4"]
    points = [tuple(parameters(row)[name] for name in ("iterations", "seed", "depot_x")) for row in rows]
    assert points == [(1, 7, 1.5), (1, 8, 1.5), (200, 7, 1.5), (200, 8, 1.5)]
    listed = {one["tag"]: one for one in session.call("GET", "/scenarios/summary")["items"]}
    ends = [listed[row["tag"]]["run_finished_at"] for row in rows]
    assert ends == sorted(ends)
    distances = {row["id"]: row["values"]["Travel Distance"]["value"] for row in rows}
    best = found["comparison"]["measures"][0]["best"]
    assert [distances[id_] for id_ in best] == [min(distances.values())] * len(best)


def test_data_parameters_are_swept_and_change_the_result(session: Session) -> None:
    order = body(algo_name="Greedy Slotting", data_grid={"min_daily_picks": [0, 60]}, run=True)
    order["points"] = [{"data_params": {"category_filter": ["Grocery"]}}]
    rows = finished(session, session.call("POST", "/sweeps", 201, json=order))["comparison"]["rows"]
    counts = [len(session.call("GET", f"/scenarios/{row['id']}")["result"]["allocation"]) for row in rows]
    assert counts[0] == 150
    assert 0 < counts[1] < 150
    assert counts[2] == 30


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ({"grid": {"iterations": [1, 0]}}, 400, "Point 2: Parameter 'iterations' must be greater than or equal to 1."),
        ({"points": [{}, {"algo_params": {"x": 1}}]}, 400, "Point 2: Parameter 'x' not found."),
        ({"grid": {"seed": list(range(251))}}, 400, "A sweep has at most 250 scenarios."),
        ({"grid": {"seed": list(range(10**4)), "iterations": list(range(10**4))}}, 400, "at most 250"),
        ({}, 400, "A sweep needs a grid, a data_grid or points."),
        ({"points": [{}], "algo_name": "x"}, 404, "Algorithm 'x' not found"),
        ({"points": [{}], "dataset_key": "x"}, 404, "Dataset 'x' not found"),
        ({"points": [{}], "tag_prefix": "taken"}, 409, "A scenario with tag 'taken 1' already exists."),
    ],
)
def test_a_sweep_with_a_fault_creates_nothing(session: Session, more: dict[str, Any], status: int, text: str) -> None:
    session.create("example_data", "Instant", tag="taken 1")
    before = [one["tag"] for one in session.call("GET", "/scenarios")]
    assert text in session.detail("POST", "/sweeps", status, json=body(**more))
    assert [one["tag"] for one in session.call("GET", "/scenarios")] == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"grid": []}, {"grid": {"seed": []}}, {"grid": {"seed": 1}}, {"points": {}}, {"points": [{"seed": 1}]},
        {"points": [{}], "algo_parameters": {}},
    ],
)  # fmt: skip
def test_bodies_of_wrong_types_are_422(session: Session, wrong: dict[str, Any]) -> None:
    assert isinstance(session.detail("POST", "/sweeps", 422, json=body(**wrong)), list)


def test_the_rest_of_a_sweep_is_cancelled(session: Session) -> None:
    order = body(algo_name="Long Progress", points=[{"algo_params": {"seconds": 60}}] * 4, run=True)
    made = session.call("POST", "/sweeps", 201, json=order)
    first = made["comparison"]["rows"][0]
    session.until(first, "processing")
    found = session.call("POST", f"/sweeps/{made['id']}/cancel", 202)
    assert (found["finished"], found["counts"]) == (True, {"failed": 4})
    assert session.read(first)["result"] == {"error": "Cancelled"}
    assert session.call("GET", "/processing") is None
    for wrong in ("x", first["id"]):
        assert session.detail("GET", f"/sweeps/{wrong}", 404) == f"Sweep '{wrong}' not found"


def test_a_repeated_request_creates_no_second_sweep(session: Session) -> None:
    headers = {"Idempotency-Key": "the first"}
    order = body(points=[{}, {}])
    made = session.call("POST", "/sweeps", 201, json=order, headers=headers)
    assert session.call("POST", "/sweeps", 201, json=order, headers=headers) == made
    session.detail("POST", "/sweeps", 409, json=body(points=[{}]), headers=headers)
    assert sum(one["tag"].startswith("sweep") for one in session.call("GET", "/scenarios")) == 2


def test_parameters_of_all_points_together_have_a_size(session: Session) -> None:
    order = body(algo_name="Parameter Matrix", algo_params={"string_param": "x" * 200_000})
    text = "The parameters of all points together are too large."
    assert session.detail("POST", "/sweeps", 413, json={**order, "points": [{}] * 30}) == text
    session.call("POST", "/sweeps", 201, json={**order, "points": [{}] * 2})
