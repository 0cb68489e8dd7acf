"""The dispatcher in front of the dialects: prefixes, bodies of shared paths, shapes of refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from trialbook.clock import FixedClock
from trialbook_gateway.dialects.claims import Claim
from trialbook_gateway.dialects.dialect import Dialect
from trialbook_gateway.dialects.routing import RootRouter
from trialbook_gateway.dialects.shapes import plain

POST = frozenset({"POST"})


def answering(name: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await Request(scope, receive).body()).decode()
        reply = {"app": name, "root_path": scope.get("root_path", ""), "path": scope["path"], "body": body}
        await JSONResponse(reply)(scope, receive, send)

    return app


def a_dialect(system: str, key: str) -> Dialect:
    claims = (Claim(path="/api/experiments", methods=POST, body=key), Claim(path="/api/experiments/..."))
    return Dialect(
        system=system, title=system, app=answering(system), claims=claims, openapi=dict, refuse=plain,
        form=f'{system} with "{key}"',
    )  # fmt: skip


def client(root_systems: Sequence[str] = ("marketplace", "aide"), *, sole: bool = False) -> httpx.AsyncClient:
    dialects = [a_dialect("marketplace", "dataset"), a_dialect("aide", "goal")]
    router = RootRouter(
        dialects, root_systems, sole=sole, native=answering("native"), clock=FixedClock(), max_body_bytes=1000
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(router), base_url="http://test")


async def post(content: bytes, path: str = "/api/experiments") -> tuple[int, dict[str, Any]]:
    async with client() as http:
        reply = await http.post(path, content=content)
        return reply.status_code, reply.json()


async def test_a_prefix_always_means_its_dialect() -> None:
    async with client() as http:
        assert (await http.get("/aide/api/experiments/x")).json() == {
            "app": "aide", "root_path": "/aide", "path": "/aide/api/experiments/x", "body": "",
        }  # fmt: skip
        assert (await http.get("/aide")).json()["app"] == "aide"


async def test_the_native_api_keeps_its_unknown_paths() -> None:
    async with client() as http:
        assert (await http.get("/v1/nothing")).json()["app"] == "native"


@pytest.mark.parametrize(("key", "system"), [("goal", "aide"), ("dataset", "marketplace")])
async def test_the_body_decides_and_reaches_the_dialect_whole(key: str, system: str) -> None:
    body = json.dumps({key: "x", "n": 1}).encode()
    status, reply = await post(body)
    assert (status, reply["app"], reply["root_path"], reply["body"]) == (200, system, "", body.decode())


@pytest.mark.parametrize("body", [b"{}", b'{"goal": 1, "dataset": 2}', b"[]", b"3"])
async def test_a_body_that_means_both_or_neither_is_refused_with_both_forms(body: bytes) -> None:
    status, reply = await post(body)
    assert status == 422
    assert reply["success"] is False
    assert reply["error"]["message"] == reply["detail"]
    for part in ('"goal"', '"dataset"', "/aide", "/marketplace"):
        assert part in reply["detail"]
    assert reply["timestamp"].endswith("Z")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"goal": NaN}'])
async def test_a_body_that_is_not_json_is_400_in_the_combined_shape(body: bytes) -> None:
    status, reply = await post(body)
    assert status == 400
    assert set(reply) == {"success", "error", "detail", "timestamp"}
    assert isinstance(reply["detail"], str)


async def test_a_body_over_the_limit_is_413() -> None:
    status, _ = await post(b'{"goal": "' + b"x" * 2000 + b'"}')
    assert status == 413


async def test_unknown_paths_have_the_shape_of_their_group() -> None:
    async with client() as http:
        shared = await http.get("/api/experiments/a/b/c")
        unknown = await http.get("/nothing")
    assert (shared.status_code, set(shared.json())) == (404, {"success", "error", "detail", "timestamp"})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})


async def test_a_system_that_is_not_at_the_root_is_under_its_prefix_only() -> None:
    async with client(("aide",)) as http:
        assert (await http.post("/api/experiments", json={"dataset": "x"})).json()["app"] == "aide"
        assert (await http.post("/marketplace/api/experiments", json={})).json()["app"] == "marketplace"


async def test_one_system_alone_gets_every_root_request() -> None:
    async with client(("aide",), sole=True) as http:
        assert (await http.get("/anything/at/all")).json()["app"] == "aide"
        assert (await http.get("/v1/runs")).json()["app"] == "native"
