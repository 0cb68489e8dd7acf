"""What every route shares: shapes of refusals, both mounts, documents, health, other origins."""

from __future__ import annotations

import pytest

from tests.dialects.algomancy.client import Api, Json, fresh

pytestmark = pytest.mark.integration
NOBODY = "00000000-0000-7000-8000-000000000000"
DOCUMENTED = {
    "/sessions": {"get", "post"},
    "/sessions/{session_id}": {"patch", "delete"},
    "/sessions/{session_id}/copy": {"post"},
    "/sessions/{session_id}/algorithms": {"get"},
    "/sessions/{session_id}/algorithms/{algorithm_name}/parameters": {"get"},
    "/sessions/{session_id}/kpis": {"get"},
    "/sessions/{session_id}/scenarios": {"get", "post"},
    "/sessions/{session_id}/scenarios/{scenario_id}": {"get", "delete"},
    "/sessions/{session_id}/scenarios/{scenario_id}/run": {"post"},
    "/sessions/{session_id}/scenarios/{scenario_id}/status": {"get"},
    "/sessions/{session_id}/processing": {"get"},
    "/sessions/{session_id}/data": {"get"},
    "/sessions/{session_id}/data/{data_key}": {"get", "delete"},
    "/sessions/{session_id}/data/{data_key}/parameters": {"get"},
    "/sessions/{session_id}/data/{data_key}/derive": {"post"},
    "/sessions/{session_id}/data/from-json": {"post"},
    "/sessions/{session_id}/etl": {"post"},
}


def test_every_route_of_an_unknown_session_says_so(mounted: Api) -> None:
    bodies = {
        ("patch", ""): {"display_name": "x"}, ("post", "/copy"): {"new_display_name": "x"},
        ("post", "/scenarios"): {"tag": "a", "dataset_key": "b", "algo_name": "c"},
        ("post", "/data/k/derive"): {"new_key": "x"},
    }  # fmt: skip
    for path, methods in DOCUMENTED.items():
        if path == "/sessions":
            continue
        for method in methods:
            rest = path.removeprefix("/sessions/{session_id}")
            rest = rest.format(algorithm_name="a", scenario_id=NOBODY, data_key="k")
            options: Json = {"json": bodies[method, rest]} if (method, rest) in bodies else {}
            if rest == "/etl":
                options = {"data": {"dataset_name": "d"}, "files": [("files", ("a.csv", b"x"))]}
            for name in (NOBODY, "nobody's"):
                detail = mounted.detail(method.upper(), f"/sessions/{name}{rest}", 404, **options)
                assert detail == f"Session '{name}' not found", path


def test_bodies_of_wrong_types_are_lists_of_faults(mounted: Api) -> None:
    session = mounted.session()
    faults = session.detail("POST", "/scenarios", 422, json={"tag": "only"})
    assert faults == [
        {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": {"tag": "only"}}
        for name in ("dataset_key", "algo_name")
    ]
    full: Json = {"tag": "t", "dataset_key": "d", "algo_name": "Slow"}
    for body, where in (
        (full | {"tag": ""}, ["body", "tag"]), (full | {"tag": 3}, ["body", "tag"]),
        (full | {"algo_params": [1]}, ["body", "algo_params"]), (full | {"data_params": "x"}, ["body", "data_params"]),
    ):  # fmt: skip
        assert [fault["loc"] for fault in session.detail("POST", "/scenarios", 422, json=body)] == [where]
    wrong: Json
    for path, wrong in (("/copy", {}), ("/copy", {"new_display_name": ""}), ("/data/x/derive", {"new_key": 1})):
        assert isinstance(session.detail("POST", path, 422, json=wrong), list)
    for wrong in ({}, {"display_name": ""}, {"display_name": 5}, {"display_name": None}):
        assert isinstance(mounted.detail("POST", "/sessions", 422, json=wrong), list)
        assert isinstance(session.detail("PATCH", "", 422, json=wrong), list)
    assert isinstance(mounted.detail("POST", "/sessions", 422, content=b"{"), list)
    nul = b'{"display_name": "a\\u0000b"}'
    assert isinstance(mounted.detail("POST", "/sessions", 422, content=nul), list)


def test_unknown_paths_wrong_methods_and_trailing_slashes(mounted: Api) -> None:
    session = mounted.session()
    assert session.detail("GET", "/nothing/here", 404) == "Not Found"
    assert mounted.detail("PUT", "/sessions", 405) == "Method Not Allowed"
    assert session.detail("DELETE", "/scenarios", 405) == "Method Not Allowed"
    answer = mounted.http.get(f"{mounted.prefix}/api/v1/sessions/", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(f"{mounted.prefix}/api/v1/sessions")
    assert mounted.http.get(f"{mounted.prefix}/api/v1/sessions/", follow_redirects=True).status_code == 200


def test_unknown_members_of_bodies_are_ignored(conformance: Api) -> None:
    body = {"display_name": fresh("s"), "colour": "red"}
    conformance.call("POST", "/sessions", 201, json=body)


def test_health_of_the_prefix_and_of_the_root(conformance: Api) -> None:
    sessions = conformance.sessions()
    own = conformance.http.get("/algomancy/health")
    assert own.status_code == 200
    assert own.json() == {"status": "ok", "title": "Algomancy API", "sessions": sessions}
    assert conformance.http.get("/health").json()["sessions"] == sessions


def test_openapi_lists_every_documented_path(conformance: Api) -> None:
    own = conformance.http.get("/algomancy/openapi.json").json()
    assert own["info"]["title"] == "Algomancy API"
    assert conformance.http.get("/algomancy/docs").status_code == 200
    union = conformance.http.get("/openapi.json").json()
    for document in (own, union):
        for path, methods in DOCUMENTED.items():
            assert methods <= set(document["paths"]["/api/v1" + path]), path
    assert "/health" in own["paths"]
    parameters = own["paths"]["/api/v1/sessions/{session_id}/data/{data_key}"]["get"]["parameters"]
    assert [p["name"] for p in parameters if p["in"] == "path"] == ["session_id", "data_key"]


def test_only_listed_origins_may_read(mounted: Api) -> None:
    path = f"{mounted.prefix}/api/v1/sessions"
    answer = mounted.http.get(path, headers={"Origin": "http://example.com"})
    assert answer.headers["access-control-allow-origin"] == "http://example.com"
    assert answer.headers["access-control-allow-credentials"] == "true"
    asked = {
        "Origin": "http://example.com", "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "X-Anything",
    }  # fmt: skip
    preflight = mounted.http.options(path, headers=asked)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "X-Anything"
    other = mounted.http.get(path, headers={"Origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers


def test_no_origins_no_headers(slotting: Api) -> None:
    answer = slotting.http.get("/algomancy/api/v1/sessions", headers={"Origin": "http://example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_repeated_creation_with_a_key_gives_the_first_one(conformance: Api) -> None:
    key, name = {"Idempotency-Key": fresh("key")}, fresh("once")
    for _ in range(2):
        listed = conformance.call("POST", "/sessions", 201, json={"display_name": name}, headers=key)["sessions"]
        assert [s["display_name"] for s in listed].count(name) == 1
    conformance.detail("POST", "/sessions", 409, json={"display_name": fresh("other")}, headers=key)
    session = conformance.session()
    session.add_data("d")
    body = {"tag": "t", "dataset_key": "d", "algo_name": "Slow"}
    first, again = (session.call("POST", "/scenarios", 201, json=body, headers=key) for _ in range(2))
    assert first == again
