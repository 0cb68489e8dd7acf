"""Uploads and downloads: streamed, checked, and going on after a lost connection."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.client import views
from tests.client.conftest import Cut, Server, problem
from trialbook import errors
from trialbook.client import AsyncClient, Client

pytestmark = pytest.mark.integration  # a real HTTP server answers

CONTENT = os.urandom(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = f"/v1/runs/{views.RUN}/artifacts"


def serve_artifact(server: Server, content: bytes, cuts: list[int], ranges: bool = True) -> list[str | None]:
    asked: list[str | None] = []

    @server.on("GET", PATH)
    async def index(request: Request) -> Response:
        item = {"name": "out/ü.bin", "sha256": SHA256, "size": len(CONTENT), "media_type": "application/octet-stream"}
        return Response(msgspec.json.encode({"items": [{**item, "attempt": 1, "created_at": views.TIME, "path": "-"}]}))

    @server.on("GET", f"{PATH}/out/ü.bin")
    async def download(request: Request) -> Response:
        span = request.headers.get("range")
        asked.append(span)
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and ranges else 0
        status = 206 if span and ranges else 200
        rest = content[start:]
        if len(asked) <= len(cuts):
            return Cut({"content-length": str(len(rest))}, [rest[: cuts[len(asked) - 1]]], status)
        return Response(rest, status)

    return asked


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_download_goes_on_where_it_was(
    server: Server, client: AsyncClient, tmp_path: Path, ranges: bool
) -> None:
    asked = serve_artifact(server, CONTENT, [300_000, 0, 100_000], ranges)
    found = await client.runs.download(views.RUN, "out/ü.bin", tmp_path)
    assert found == tmp_path / "ü.bin"
    assert found.read_bytes() == CONTENT
    assert len(asked) == 4
    assert asked[0] is None
    assert asked[1] == asked[2] == "bytes=300000-"
    assert list(tmp_path.iterdir()) == [found]


async def test_other_bytes_are_not_kept(server: Server, client: AsyncClient, tmp_path: Path) -> None:
    serve_artifact(server, CONTENT[:-1] + b"x", [])
    (tmp_path / "there").write_bytes(b"old")
    with pytest.raises(errors.Unavailable, match="sha256") as caught:
        await client.runs.download(views.RUN, "out/ü.bin", tmp_path / "there")
    assert caught.value.code == "download_corrupt"
    assert (tmp_path / "there").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


async def test_an_unknown_artifact_names_the_others(server: Server, client: AsyncClient) -> None:
    serve_artifact(server, CONTENT, [])
    with pytest.raises(errors.NotFound, match="out/ü"):
        await client.runs.read_artifact(views.RUN, "nothing")


def serve_upload(server: Server, refuse: int) -> list[bytes]:
    bodies: list[bytes] = []

    @server.on("POST", "/v1/files")
    async def upload(request: Request) -> Response:
        bodies.append(await request.body())
        if len(bodies) <= refuse:
            return problem(503, "ledger_unavailable", "Later.")
        digest = hashlib.sha256(bodies[-1]).hexdigest()
        assert request.headers["x-checksum-sha256"] == digest
        data = {"name": request.query_params["name"], "sha256": digest, "size": len(bodies[-1])}
        view = {"kind": "file", "id": "f1", "workspace": "main", "sequence": 3, "data": data}
        return Response(msgspec.json.encode(view), 201, {"Trialbook-Sequence": "3"})

    return bodies


async def test_an_upload_is_sent_whole_again(server: Server, client: AsyncClient, tmp_path: Path) -> None:
    bodies = serve_upload(server, refuse=1)
    path = tmp_path / "table.csv"
    path.write_bytes(CONTENT)
    view = await client.files.upload(path, labels={"team": "a"})
    assert view.data == {"name": "table.csv", "sha256": SHA256, "size": len(CONTENT)}
    assert bodies == [CONTENT, CONTENT]
    first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["content-type"] == "text/csv"
    assert first.headers["content-length"] == str(len(CONTENT))
    assert first.query_params.getlist("label") == ["team:a"]


def test_an_empty_file_of_bytes(server: Server) -> None:
    serve_upload(server, refuse=0)
    with Client(server.url) as client:
        assert client.files.upload(b"", name="empty").data["size"] == 0
        with pytest.raises(errors.Invalid, match="Give a name"):
            client.files.upload(b"x")
