"""What nobody should send: every answer is a documented refusal, and the connection stays."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session, document, fresh

pytestmark = pytest.mark.integration
JSON = {"content-type": "application/json"}
WRONG: list[Any] = [None, True, -1, 1.5, 1e308, 10**30, 10**400, "", "\0", "\ud800", [], {}, [1], {"a": 1}]


def create(session: Session, expect: int, **more: Any) -> Any:
    body = {"tag": fresh(), "dataset_key": "example_data", "algo_name": "SA Slotting", **more}
    return session.call("POST", "/scenarios", expect, content=json.dumps(body), headers=JSON)


@pytest.mark.parametrize("where", ["algo_params", "data_params"])
def test_integers_beyond_64_bits_are_refused(session: Session, where: str) -> None:
    name = "seed" if where == "algo_params" else "min_daily_picks"
    largest = 2**63 - 1
    assert create(session, 201, **{where: {name: largest}})
    text = f"Parameter '{name}' must be less than or equal to {largest}."
    assert create(session, 400, **{where: {name: 2**63}}) == {"detail": text}
    create(session, 400, **{where: {name: 10**400}})
    create(session, 400, **{where: {name: -(10**30)}})


def test_data_parameters_have_a_size(session: Session) -> None:
    create(session, 413, data_params={"category_filter": ["Grocery"] * 100_000})


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_bytes_is_told_as_a_fault(api: Api, content_type: str) -> None:
    for body in (b"\xff\xfe", b"", b"{}"):
        headers = {"content-type": content_type}
        assert isinstance(api.detail("POST", "/sessions", 422, content=body, headers=headers), list)


def test_texts_that_are_no_unicode_are_told_as_a_fault(api: Api) -> None:
    for body in ({"display_name": "\ud800"}, {"display_name": ["\ud800"]}, ["\ud800", float("nan")]):
        api.detail("POST", "/sessions", 422, content=json.dumps(body), headers=JSON)


@pytest.mark.parametrize("member", ["name", "id", "creation_datetime"])
def test_a_document_that_nobody_could_store_is_400(api: Api, session: Session, member: str) -> None:
    wrong: dict[str, Any] = {member: "\ud800"}
    body = json.dumps(document("d", **wrong))
    assert "surrogates" in session.detail("POST", "/data/from-json", 400, content=body)
    body = json.dumps(document("d")).replace('"0000"', '"\\udfff"')
    assert "surrogates" in session.detail("POST", "/data/from-json", 400, content=body)
    if member == "name":
        assert "NUL" in session.detail("POST", "/data/from-json", 400, json=document("a\0b"))
        files = [("files", ("sku_data.csv", b"itemid\n1\n"))]
        session.detail("POST", "/etl", 422, data={"dataset_name": "a\0b"}, files=files)


@pytest.mark.parametrize("member", ["tag", "dataset_key", "algo_name", "algo_params", "data_params"])
def test_members_of_wrong_types_are_refused(session: Session, member: str) -> None:
    for wrong in WRONG:
        body = {"tag": fresh(), "dataset_key": "example_data", "algo_name": "Instant", member: wrong}
        reply = session.api.http.post(
            f"/algomancy/api/v1/sessions/{session.id}/scenarios", content=json.dumps(body), headers=JSON
        )
        accepted = wrong is None or wrong == {} if member.endswith("params") else False
        assert (reply.status_code == 201) == accepted, f"{member}={wrong!r}: {reply.text[:200]}"
        assert reply.status_code in (201, 400, 404, 422), reply.text[:200]


def test_a_fault_of_ours_keeps_the_connection(api: Api) -> None:
    with httpx.Client(base_url=api.http.base_url, trust_env=False) as http:
        with http.stream("POST", "/algomancy/api/v1/sessions", content=b"\xff") as reply:
            reply.read()
            first = _socket(reply)
        with http.stream("GET", "/algomancy/health") as reply:
            reply.read()
            assert _socket(reply) == first


def _socket(reply: httpx.Response) -> Any:
    found: socket.socket = reply.extensions["network_stream"].get_extra_info("socket")
    return found.getsockname()


def test_a_session_whose_workspace_was_deleted_can_be_deleted(api: Api) -> None:
    session = api.session()
    reply = api.http.delete(f"/v1/workspaces/{session.id.replace('-', '')}")
    assert reply.status_code in (200, 204), reply.text
    assert session.id not in [one["id"] for one in session.call("DELETE", "")["sessions"]]
