"""A client of the API as users write it, over one mount."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from trialbook.ids import UUIDv7Source

PATIENCE_S = 90.0
Json = Any
_IDS = UUIDv7Source()


def fresh(prefix: str = "x") -> str:
    """A text that nobody used before."""
    return f"{prefix}-{_IDS.new()[-10:]}"


@dataclass
class Api:
    """``prefix`` is the mount: empty or ``/algomancy``."""

    http: httpx.Client
    prefix: str = "/algomancy"

    def call(self, method: str, path: str, expect: int = 200, **options: Any) -> Json:
        """A request below ``/api/v1``; the body of a reply of the expected status."""
        answer = self.http.request(method, f"{self.prefix}/api/v1{path}", **options)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def detail(self, method: str, path: str, expect: int, **options: Any) -> Any:
        """What a refusal says."""
        body = self.call(method, path, expect, **options)
        assert list(body) == ["detail"]
        return body["detail"]

    def sessions(self) -> list[dict[str, str]]:
        """All of them."""
        found: list[dict[str, str]] = self.call("GET", "/sessions")["sessions"]
        return found

    def session(self, name: str = "") -> Session:
        """A new one."""
        name = name or fresh("session")
        listed = self.call("POST", "/sessions", 201, json={"display_name": name})["sessions"]
        return Session(self, next(s["id"] for s in listed if s["display_name"] == name))


@dataclass
class Session:
    """Paths are below the session."""

    api: Api
    id: str

    def call(self, method: str, path: str, expect: int = 200, **options: Any) -> Json:
        """As ``Api.call``."""
        return self.api.call(method, f"/sessions/{self.id}{path}", expect, **options)

    def detail(self, method: str, path: str, expect: int, **options: Any) -> Any:
        """As ``Api.detail``."""
        return self.api.detail(method, f"/sessions/{self.id}{path}", expect, **options)

    def keys(self) -> list[str]:
        """Of all datasets."""
        found: list[str] = self.call("GET", "/data")["keys"]
        return found

    def add_data(self, key: str, rows: int = 3, **metadata: Any) -> Json:
        """A small dataset from JSON; returns the keys."""
        return self.call("POST", "/data/from-json", 201, json=document(key, rows, **metadata))["keys"]

    def create(self, dataset: str, algorithm: str, expect: int = 201, tag: str = "", **params: Any) -> Json:
        """A scenario."""
        body = {"tag": tag or fresh("tag"), "dataset_key": dataset, "algo_name": algorithm, "algo_params": params}
        return self.call("POST", "/scenarios", expect, json=body)

    def run(self, scenario: Json, expect: int = 202) -> Json:
        """Queue it."""
        return self.call("POST", f"/scenarios/{scenario['id']}/run", expect)

    def status(self, scenario: Json) -> Json:
        """The polled one."""
        return self.call("GET", f"/scenarios/{scenario['id']}/status")

    def read(self, scenario: Json) -> Json:
        """The whole one."""
        return self.call("GET", f"/scenarios/{scenario['id']}")

    def states(self, scenario: Json, patience_s: float = PATIENCE_S) -> Iterator[Json]:
        """Every polled status until the scenario has finished."""
        deadline = time.monotonic() + patience_s
        while True:
            state = self.status(scenario)
            yield state
            if state["status"] in ("complete", "failed"):
                return
            assert time.monotonic() < deadline, f"not finished: {state}"
            time.sleep(0.03)

    def ended(self, scenario: Json, patience_s: float = PATIENCE_S) -> Json:
        """The scenario when it has finished."""
        for _ in self.states(scenario, patience_s):
            pass
        return self.read(scenario)

    def until(self, scenario: Json, status: str) -> None:
        """Wait for a status on the way."""
        for state in self.states(scenario):
            if state["status"] == status:
                return
        raise AssertionError(f"never {status}")


def document(key: str, rows: int = 3, **metadata: Any) -> dict[str, Any]:
    """A dataset as JSON."""
    known = {"id": fresh("id"), "name": key, "type": "dummy_data", "creation_datetime": "2026-01-15 10:30:00.123456"}
    table = {
        "data": [{"itemid": f"{n:04d}", "picks": n, "weight": n + 0.5} for n in range(rows)],
        "columns": ["itemid", "picks", "weight"],
        "dtypes": {"itemid": "string", "picks": "int64", "weight": "float64"},
        "index": list(range(rows)),
    }
    return {"metadata": {**known, "tables": ["items"], **metadata}, "tables": {"items": table}}
