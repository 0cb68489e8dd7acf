"""Live streams: cut at every place, each line comes once and in order, then the final status."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.client import views
from tests.client.conftest import Cut, Server, problem
from trialbook import errors
from trialbook.client import AsyncClient, Client, ProgressView, StatusView
from trialbook.queries import LogView

pytestmark = pytest.mark.integration  # a real HTTP server answers

PATH = f"/v1/runs/{views.RUN}/stream"
HEAD = {"content-type": "text/event-stream"}


def message(kind: str, cursor: str, data: object) -> bytes:
    body = msgspec.json.encode({"type": kind, "cursor": cursor, "data": data}).decode()
    return f"id: {cursor}\nevent: {kind}\ndata: {body}\n\n".encode()


def status(name: str, final: bool = False) -> dict[str, object]:
    return {"run": views.RUN, "status": name, "final": final, "sequence": 9, "time": views.TIME, "attempt": 1}


MESSAGES = [
    message("status", "2-0", status("running")),
    *(message("log", f"2-{cursor}", views.line(cursor, f"a\u2028b {cursor}")) for cursor in range(100, 108)),
    message("progress", "2-120", {"time": views.TIME, "done": 1, "total": 2, "unit": "x", "message": "", "step": None}),
    message("invented", "2-121", {"later": True}),
    message("log", "2-130", views.line(130)),
    message("status", "9-130", status("completed", final=True)),
]


def resumed(last_event_id: str | None) -> int:
    """Where a server goes on: behind the message with that id."""
    if not last_event_id:
        return 0
    return next(i for i, one in enumerate(MESSAGES) if one.startswith(f"id: {last_event_id}\n".encode())) + 1


def serve(server: Server, cuts: list[int], overlap: int = 0) -> None:
    """Connection number n ends after cuts[n] bytes; the later ones begin `overlap` messages too early."""

    @server.on("GET", PATH)
    async def stream(request: Request) -> Response:
        number = len(server.requests)
        start = resumed(request.headers.get("last-event-id"))
        body = b"retry: 10\n\n: hello\n\n" + b"".join(MESSAGES[max(0, start - (overlap if number > 1 else 0)) :])
        if number <= len(cuts):
            return Cut(HEAD, [body[: cuts[number - 1]]])
        return Response(body, headers=HEAD)


WHOLE = len(b"".join(MESSAGES))


@pytest.mark.parametrize("overlap", [0, 3])
@pytest.mark.parametrize("cut", [1, 30, 200, 700, WHOLE // 2, WHOLE - 1])
async def test_no_line_twice_and_none_missing(server: Server, client: AsyncClient, cut: int, overlap: int) -> None:
    serve(server, [cut, 0, 500], overlap)
    updates = [update async for update in client.runs.follow(views.RUN)]
    lines = [update for update in updates if isinstance(update, LogView)]
    assert [line.cursor for line in lines] == [*range(100, 108), 130]
    assert lines[0].message == "a\u2028b 100"
    assert any(isinstance(update, ProgressView) for update in updates)
    final = updates[-1]
    assert isinstance(final, StatusView)
    assert (final.status, final.final) == ("completed", True)
    assert len(server.requests) >= 3


async def test_it_resumes_from_the_last_line_handed_out(server: Server, client: AsyncClient) -> None:
    serve(server, [len(b"retry: 10\n\n: hello\n\n") + sum(map(len, MESSAGES[:4])) + 20])
    await anext(lines := client.runs.follow_logs(views.RUN))
    assert [line.cursor async for line in lines] == [*range(101, 108), 130]
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "2-102"]
    assert server.requests[0].query_params.getlist("kinds") == ["log", "status"]


async def test_following_from_a_line_and_from_a_level(server: Server, client: AsyncClient) -> None:
    @server.on("GET", PATH)
    async def stream(request: Request) -> Response:
        return Response(MESSAGES[-2] + MESSAGES[-1], headers=HEAD)

    assert [line.cursor async for line in client.runs.follow_logs(views.RUN, after=107, level="warning")] == [130]
    assert server.requests[0].headers["last-event-id"] == "0-107"
    assert server.requests[0].query_params["level"] == "warning"


async def test_a_server_that_says_come_back_is_come_back_to(server: Server, client: AsyncClient) -> None:
    resume = b'event: resume\ndata: {"type":"resume","cursor":"2-101","data":{"reason":"slow"}}\n\n'

    @server.on("GET", PATH)
    async def stream(request: Request) -> Response:
        if len(server.requests) == 1:
            return Response(b"".join(MESSAGES[:3]) + resume, headers=HEAD)
        if len(server.requests) == 2:
            return problem(503, "stopping", "Later.", {"Retry-After": "0"})
        return Response(b"".join(MESSAGES[resumed(request.headers["last-event-id"]) :]), headers=HEAD)

    assert [line.cursor async for line in client.runs.follow_logs(views.RUN)] == [*range(100, 108), 130]


async def test_what_is_refused_for_good_is_raised(server: Server, client: AsyncClient) -> None:
    @server.on("GET", PATH)
    async def stream(request: Request) -> Response:
        return problem(404, "run_not_found", "There is no such run.")

    with pytest.raises(errors.NotFound, match="no such run"):
        await anext(client.runs.follow(views.RUN))
    assert len(server.requests) == 1


def test_leaving_early_closes_the_connection(server: Server) -> None:
    serve(server, [])
    with Client(server.url) as client:
        lines = client.runs.follow_logs(views.RUN)
        assert [line.cursor for line in itertools.islice(lines, 3)] == [100, 101, 102]
        lines.close()  # type: ignore[attr-defined]
        assert len(list(client.runs.follow(views.RUN))) == len(MESSAGES) - 1
    with pytest.raises(RuntimeError, match="closed"):
        client.runs.get(views.RUN)
    client.close()


async def test_the_ledger_from_now_on(server: Server, client: AsyncClient) -> None:
    def fact(sequence: int) -> dict[str, object]:
        event = {
            "specversion": "1.0", "id": f"e{sequence}", "source": "trialbook/gateway", "type": "run.queued.v1",
            "subject": f"main/run/{views.RUN}", "time": views.TIME, "actor": "anonymous", "data": {"ticket": "t"},
        }  # fmt: skip
        return {"sequence": sequence, "event": event}

    @server.on("GET", "/v1/events")
    async def events(request: Request) -> Response:
        if "text/event-stream" not in request.headers["accept"]:
            return Response(b'{"items":[]}', headers={"Trialbook-Sequence": "40"})
        start = int(request.headers.get("last-event-id") or request.query_params["after"])
        body = b"retry: 10\n\n" + b"".join(
            message("fact", str(n), fact(n)) for n in range(max(41, start - 1), start + 3)
        )
        return Response(body, headers=HEAD)

    found = []
    async for one in client.ledger.follow(types=["run.queued.v1"], kind="run"):
        found.append(one)
        if len(found) == 7:
            break
    assert [one.sequence for one in found] == list(range(41, 48))
    assert found[0].data == {"ticket": "t"}
    assert server.requests[1].query_params["after"] == "40"
    assert server.requests[1].query_params["type"] == "run.queued.v1"
