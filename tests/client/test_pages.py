"""Lists are read to their end, each item once."""

from __future__ import annotations

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.client import views
from tests.client.conftest import Server, problem
from trialbook.client import AsyncClient, Client


def serve_runs(server: Server, count: int, page: int = 2) -> None:
    @server.on("GET", "/v1/runs")
    async def runs(request: Request) -> Response:
        if len(server.requests) == 2:
            return problem(503, "projector_unavailable", "Later.")
        start = int(request.query_params.get("cursor", "0"))
        items = [views.run(f"{number:032x}") for number in range(start, min(count, start + page))]
        following = str(start + page) if start + page < count else None
        return Response(msgspec.json.encode({"items": items, "next_cursor": following, "total": None}))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
async def test_all_pages_once_and_in_order(server: Server, client: AsyncClient, count: int) -> None:
    serve_runs(server, count)
    found = [run.id async for run in client.runs.iterate(status=["failed", "completed"], labels={"team": "a"})]
    assert found == [f"{number:032x}" for number in range(count)]
    first = server.requests[0].query_params
    assert first.getlist("status") == ["failed", "completed"]
    assert first.getlist("label") == ["team:a"]
    assert set(first) == {"status", "label", "order", "limit"}, "what is not asked for is not sent"


def test_the_same_without_a_loop(server: Server) -> None:
    serve_runs(server, 5)
    with Client(server.url) as client:
        assert len(list(client.runs.iterate())) == 5
        assert len(client.runs.page().items) == 2


async def test_log_lines_over_pages(server: Server, client: AsyncClient) -> None:
    @server.on("GET", f"/v1/runs/{views.RUN}/logs")
    async def logs(request: Request) -> Response:
        after = int(request.query_params["cursor"])
        items = [views.line(cursor) for cursor in range(after + 10, min(after + 40, 100), 10)]
        more = bool(items) and items[-1].cursor < 90
        page = {"items": items, "has_more": more, "total": 9, "complete": True}
        return Response(msgspec.json.encode({**page, "next_cursor": items[-1].cursor if items else after}))

    found = [line.cursor async for line in client.runs.iterate_logs(views.RUN)]
    assert found == list(range(10, 100, 10))
    assert [line.cursor async for line in client.runs.iterate_logs(views.RUN, after=70)] == [80, 90]


async def test_rows_by_index(server: Server, client: AsyncClient) -> None:
    @server.on("GET", f"/v1/runs/{views.RUN}/rows/action")
    async def rows(request: Request) -> Response:
        after = int(request.query_params["after_index"])
        row = {"id": "", "kind": "action", "time": views.TIME, "attempt": 1, "data": {"a": [1]}}
        indexes = range(after + 1, min(after + 3, 6))
        items = [{"index": index, **row} for index in indexes]
        following = indexes[-1] if indexes and indexes[-1] < 5 else None
        return Response(msgspec.json.encode({"items": items, "next_cursor": following}))

    found = [row async for row in client.runs.iterate_rows(views.RUN, "action")]
    assert [row.index for row in found] == [1, 2, 3, 4, 5]
    assert msgspec.json.decode(found[0].data) == {"a": [1]}


async def test_the_last_lines_of_an_ended_run_are_waited_for(server: Server, client: AsyncClient) -> None:
    @server.on("GET", f"/v1/runs/{views.RUN}/logs")
    async def logs(request: Request) -> Response:
        complete = "at_least_signals" in request.query_params
        after = int(request.query_params["cursor"])
        items = [views.line(cursor) for cursor in (10, 20, 30) if after < cursor <= (30 if complete else 20)]
        page = {"items": items, "has_more": False, "total": 3, "complete": complete, "next_cursor": 0}
        return Response(msgspec.json.encode(page))

    @server.on("GET", f"/v1/runs/{views.RUN}")
    async def run(request: Request) -> Response:
        return Response(msgspec.json.encode(msgspec.structs.replace(views.run(status=status), signal_sequence=7)))

    status = "running"
    assert [line.cursor async for line in client.runs.iterate_logs(views.RUN)] == [10, 20]
    status = "failed"
    assert [line.cursor async for line in client.runs.iterate_logs(views.RUN)] == [10, 20, 30]
    assert server.requests[-1].query_params["at_least_signals"] == "7"
