"""Requests: refusals by class, repeats only of what may be repeated, idempotency, read your own writes."""

from __future__ import annotations

import asyncio
import socket
import time

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.client import views
from tests.client.conftest import Cut, Server, problem
from trialbook import errors
from trialbook.client import AsyncClient

pytestmark = pytest.mark.integration  # a real HTTP server answers

RUN_PATH = f"/v1/runs/{views.RUN}"


def reply(value: object, status: int = 200, sequence: int = 0) -> Response:
    headers = {"Trialbook-Sequence": str(sequence)} if sequence else {}
    return Response(msgspec.json.encode(value), status, headers, "application/json")


@pytest.mark.parametrize(
    ("status", "class_"),
    [
        (400, errors.Invalid), (401, errors.Unauthorized), (403, errors.Forbidden), (404, errors.NotFound),
        (409, errors.Conflict), (412, errors.PreconditionFailed), (413, errors.TooLarge), (422, errors.Invalid),
        (500, errors.Unavailable), (418, errors.Refusal),
    ],
)  # fmt: skip
async def test_a_problem_becomes_its_refusal(
    server: Server, client: AsyncClient, status: int, class_: type[errors.Refusal]
) -> None:
    @server.on("GET", RUN_PATH)
    async def refuse(request: Request) -> Response:
        return problem(status, "some_code", "Say what to do.", request_id="r1", errors=[{"pointer": "/a"}])

    with pytest.raises(errors.Refusal) as caught:
        await client.runs.get(views.RUN)
    assert type(caught.value) is class_
    assert (caught.value.code, caught.value.detail) == ("some_code", "Say what to do.")
    assert caught.value.extra == {"request_id": "r1", "errors": [{"pointer": "/a"}], "status": status}
    assert len(server.requests) == 1, "it is not repeated"


async def test_a_page_of_a_proxy_is_no_problem_document(server: Server, client: AsyncClient) -> None:
    @server.on("GET", RUN_PATH)
    async def refuse(request: Request) -> Response:
        return Response("<html>no route</html>", 404, media_type="text/html")

    with pytest.raises(errors.NotFound, match="no route") as caught:
        await client.runs.get(views.RUN)
    assert caught.value.code == "http_404"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_passes_is_waited_for(server: Server, client: AsyncClient, status: int) -> None:
    @server.on("GET", RUN_PATH)
    async def answer(request: Request) -> Response:
        if len(server.requests) < 3:
            return problem(status, "busy", "Later.")
        return reply(views.run())

    assert (await client.runs.get(views.RUN)).id == views.RUN
    assert len(server.requests) == 3


async def test_retry_after_is_kept(server: Server, client: AsyncClient) -> None:
    @server.on("GET", RUN_PATH)
    async def answer(request: Request) -> Response:
        return reply(views.run()) if len(server.requests) > 1 else problem(503, "busy", "Later.", {"Retry-After": "1"})

    started = time.monotonic()
    await client.runs.get(views.RUN)
    assert time.monotonic() - started >= 1.0


async def test_patience_ends(server: Server) -> None:
    @server.on("GET", RUN_PATH)
    async def answer(request: Request) -> Response:
        return problem(429, "slow_down", "Later.", {"Retry-After": "60"})

    async with AsyncClient(server.url, patience_s=50.0) as client:
        started = time.monotonic()
        with pytest.raises(errors.RateLimited) as caught:
            await client.runs.get(views.RUN)
        assert time.monotonic() - started < 50.0, "a wait longer than the patience is not begun"
        assert caught.value.extra["retry_after_s"] == 60.0
        assert len(server.requests) == 1


async def test_a_submission_is_repeated_under_one_key(server: Server, client: AsyncClient) -> None:
    bodies = []

    @server.on("POST", "/v1/runs")
    async def create(request: Request) -> Response:
        bodies.append(await request.body())
        if len(bodies) == 1:
            return Cut({"content-length": "100"}, [b"{"], 201)
        if len(bodies) == 2:
            return problem(503, "ledger_unavailable", "Later.")
        return reply(views.run(status="queued"), 201)

    assert (await client.runs.submit("noop", {"value": 3})).status == "queued"
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert len(server.requests) == 3
    assert len(keys) == 1
    assert len(set(bodies)) == 1
    assert msgspec.json.decode(bodies[0]) == {
        "workload": "noop",
        "params": {"value": 3},
        "priority": "normal",
        "seed": 0,
    }
    await client.runs.submit("noop", key="mine")
    assert server.requests[-1].headers["idempotency-key"] == "mine"
    await client.runs.submit("noop")
    assert server.requests[-1].headers["idempotency-key"] not in {*keys, "mine"}


async def test_what_cannot_be_recognised_is_not_repeated(server: Server, client: AsyncClient) -> None:
    @server.on("POST", "/v1/datasets/d1/versions")
    async def add(request: Request) -> Response:
        return Cut({"content-length": "100"}, [b"{"], 201)

    with pytest.raises(errors.Unavailable):
        await client.datasets.add_version_of("d1", {"a.csv": "0" * 64})
    assert len(server.requests) == 1


async def test_a_deletion_whose_answer_was_lost_has_happened(server: Server, client: AsyncClient) -> None:
    @server.on("DELETE", RUN_PATH)
    async def remove(request: Request) -> Response:
        lost = len(server.requests) == 1
        return Cut({"content-length": "1"}, []) if lost else problem(404, "run_not_found", "There is no such run.")

    await client.runs.delete(views.RUN)
    assert len(server.requests) == 2
    server.routes.clear()
    with pytest.raises(errors.NotFound):
        await client.runs.delete(views.RUN)


async def test_reads_ask_for_own_writes(server: Server, client: AsyncClient) -> None:
    @server.on("POST", f"{RUN_PATH}/cancel")
    async def cancel(request: Request) -> Response:
        return reply(views.run(), sequence=41)

    @server.on("GET", RUN_PATH)
    async def get(request: Request) -> Response:
        return reply(views.run(), sequence=99)

    await client.runs.get(views.RUN)
    assert "at_least" not in server.requests[-1].query_params
    await client.runs.cancel(views.RUN, "wrong")
    await client.runs.get(views.RUN)
    assert server.requests[-1].query_params["at_least"] == "41"
    await client.runs.get(views.RUN, as_of=12)
    assert dict(server.requests[-1].query_params) == {"as_of": "12"}


async def test_token_and_workspace_are_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIALBOOK_URL", server.url + "/")
    monkeypatch.setenv("TRIALBOOK_TOKEN", "from-environment")

    @server.on("GET", "/v1/runners")
    async def runners(request: Request) -> Response:
        return reply({"items": []})

    async with AsyncClient(workspace="lab") as client:
        assert await client.runners() == []
    assert server.requests[0].headers["authorization"] == "Bearer from-environment"
    assert server.requests[0].headers["trialbook-workspace"] == "lab"
    async with AsyncClient(token="given") as client:
        await client.runners()
    assert server.requests[1].headers["authorization"] == "Bearer given"
    assert "trialbook-workspace" not in server.requests[1].headers


async def test_nobody_there_says_where() -> None:
    with socket.socket() as silent:  # it keeps the port and does not listen
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        async with AsyncClient(f"http://127.0.0.1:{port}", patience_s=0.0) as client:
            with pytest.raises(errors.Unavailable, match=rf"127\.0\.0\.1:{port}.*trialbook up") as caught:
                await client.runners()
    assert caught.value.code == "gateway_unreachable"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "nonsense"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(errors.Invalid, match="not the address"):
        AsyncClient(url)


async def test_a_reply_of_something_else_is_named(server: Server, client: AsyncClient) -> None:
    @server.on("GET", RUN_PATH)
    async def answer(request: Request) -> Response:
        return reply({"hello": "world"})

    with pytest.raises(errors.Unavailable, match="cannot read") as caught:
        await client.runs.get(views.RUN)
    assert caught.value.code == "unexpected_reply"


async def test_wait_asks_again_until_the_end(server: Server, client: AsyncClient) -> None:
    @server.on("GET", RUN_PATH)
    async def answer(request: Request) -> Response:
        assert float(request.query_params["wait"]) >= 0
        await asyncio.sleep(0.05)
        return reply(views.run(status="running" if len(server.requests) < 3 else "failed"))

    assert (await client.runs.wait(views.RUN)).status == "failed"
    assert len(server.requests) == 3
    server.requests.clear()
    with pytest.raises(errors.TimedOut, match="running after"):
        await client.runs.wait(views.RUN, timeout_s=0.06)
