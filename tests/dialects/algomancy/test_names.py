"""Names in paths: any text is one segment, and never means anything else than the name."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute

from tests.dialects.algomancy.client import Api, Session, fresh
from trialbook_gateway.dialects.algomancy.app import ROUTERS
from trialbook_gateway.dialects.algomancy.segments import NamedRoute, kept, restored

NAMES = [
    "with blank", "ünï ☃", "👩‍👩‍👧‍👦", "semi;colon&x=y", "a?b#c", "dots..", "..", "from-json", "100%", "%2F", "%252F",
    "a+b", "a/b", "/", "//", "a/parameters", "a/../b", "trailing ", " ", "\u2028", "back\\slash", "x" * 300, "ü/" * 150,
]  # fmt: skip


def segment(name: str) -> str:
    """A name as a client writes it into a path; dots too, because clients leave out segments of dots."""
    return quote(name, safe="").replace(".", "%2E")


@pytest.mark.integration
@pytest.mark.parametrize("key", NAMES)
def test_a_dataset_is_found_by_any_key(session: Session, key: str) -> None:
    path = f"/data/{segment(key)}"
    assert session.add_data(key) == [key]
    assert session.call("GET", path)["metadata"]["name"] == key
    assert session.call("GET", f"{path}/parameters") == {"name": "empty", "parameters": []}
    assert session.call("GET", f"{path}/messages") == {"messages": []}
    assert session.call("POST", f"{path}/derive", 201, json={"new_key": key + "2"}) == {"keys": [key, key + "2"]}
    scenario = session.create(key, "Slow", tag=key)
    assert scenario["tag"] == key
    assert session.detail("DELETE", path, 409) == "Cannot delete data used in scenarios."
    session.call("DELETE", f"/scenarios/{scenario['id']}", 204)
    session.call("DELETE", path, 204)
    assert session.detail("GET", path, 404) == f"Dataset '{key}' not found"
    assert session.keys() == [key + "2"]


@pytest.mark.integration
def test_a_key_that_looks_like_a_route_is_a_key(session: Session) -> None:
    for key in ("a", "a/parameters", "a/messages"):
        session.add_data(key)
    for key in ("a/parameters", "a/messages"):
        assert session.call("GET", f"/data/{segment(key)}")["metadata"]["name"] == key
        session.call("DELETE", f"/data/{segment(key)}", 204)
    assert session.keys() == ["a"]


@pytest.mark.integration
@pytest.mark.parametrize("name", ["a/b", "a/data", "%2F", "/"])
def test_a_session_is_found_by_any_name(mounted: Api, name: str) -> None:
    name += fresh()
    made = mounted.session(name)
    made.add_data("d")
    path = f"/sessions/{segment(name)}"
    assert mounted.call("GET", f"{path}/data") == {"keys": ["d"]}
    assert mounted.detail("GET", f"{path}/algorithms/{segment('x/y')}/parameters", 404) == "Algorithm 'x/y' not found"
    assert mounted.detail("GET", f"{path}/scenarios/{segment('x/y')}", 404) == "Scenario 'x/y' not found"
    answer = mounted.http.get(f"{mounted.prefix}/api/v1{path}/data/", follow_redirects=True)
    assert answer.json() == {"keys": ["d"]}
    assert made.id not in {session["id"] for session in mounted.call("DELETE", path)["sessions"]}


@pytest.mark.integration
def test_an_archive_takes_every_name_along(session: Session) -> None:
    for key in NAMES[-12:]:
        session.add_data(key)
    http, name = session.api.http, fresh("again")
    archive = http.get(f"/algomancy/api/v1/sessions/{session.id}/archive").content
    reply = http.post("/algomancy/api/v1/sessions/import", params={"display_name": name}, content=archive)
    assert reply.status_code == 201, reply.text
    again = next(one["id"] for one in reply.json()["sessions"] if one["display_name"] == name)
    assert Session(session.api, again).keys() == session.keys() == NAMES[-12:]


@pytest.mark.parametrize("name", [*NAMES, "%25", "%2f", "%252f", "/%"])
def test_a_segment_stands_for_one_name(name: str) -> None:
    path = kept({"path": f"/x/{name}/y", "raw_path": f"/x/{segment(name)}/y".encode()})
    _, first, found, last = path.split("/")
    assert (first, restored(found), last) == ("x", name, "y")


def test_a_server_without_raw_paths_is_served() -> None:
    assert [restored(part) for part in kept({"path": "/x/100%/%2F"}).split("/")] == ["", "x", "100%", "%2F"]


def test_every_route_restores_its_names() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 30
    assert [route.path for route in routes if not isinstance(route, NamedRoute)] == []
