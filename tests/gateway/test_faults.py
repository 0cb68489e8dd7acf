"""What goes wrong behind the gateway: a fault is answered in the path's shape, said once in the log, and is no end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.gateway.conftest import ENV, Site
from trialbook import subjects
from trialbook.log.connect import connect, settled

pytestmark = pytest.mark.integration
GARBAGE = b"secret-of-the-projector {"
ASKING = ["/v1/runs", "/v1/metrics/compare?metric=m&run=" + "0" * 32, f"/v1/runs/{'0' * 32}/logs", "/v1/events"]
MARKETPLACE = ["/marketplace/api/experiments", "/api/experiments"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway whose projector has gone."""
    found = Site(tmp_path_factory.mktemp("faults"), {**ENV, "TRIALBOOK_ASK_TIMEOUT_S": "4"})
    found.start()
    found.projector.stop()
    yield found
    found.gateway.stop()
    found.close()


@pytest.fixture
async def bus(alone: Site) -> AsyncIterator[Client]:
    client = await connect(alone.nats.url, name="test")
    yield client
    await client.close()


@pytest.fixture
async def web(alone: Site) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(keepalive_expiry=None)
    async with httpx.AsyncClient(base_url=alone.url, timeout=60, limits=limits) as client:
        yield client


@asynccontextmanager
async def answering(bus: Client, reply: bytes) -> AsyncIterator[None]:
    """Whoever asks a projector is answered so."""

    async def answer(message: Msg) -> None:
        await message.respond(reply)

    subscription = await bus.subscribe(subjects.ASKS_ALL, cb=answer)
    await settled(bus)
    yield
    await subscription.unsubscribe()


def connection(reply: httpx.Response) -> Any:
    return reply.extensions["network_stream"].get_extra_info("client_addr")


@pytest.mark.parametrize("path", [*ASKING, *MARKETPLACE])
async def test_a_fault_is_answered_and_found_in_the_log(
    alone: Site, bus: Client, web: httpx.AsyncClient, path: str
) -> None:
    first = await web.get("/v1")
    id_ = f"fault-{ASKING.index(path) if path in ASKING else MARKETPLACE.index(path) + 10}"
    async with answering(bus, GARBAGE):
        reply = await web.get(path, headers={"X-Request-ID": id_, "Origin": "https://general.example"})
    body = reply.json()
    assert reply.status_code == 500, reply.text
    assert reply.headers["x-request-id"] == id_
    if path in ASKING:
        assert (reply.headers["content-type"], body["code"]) == ("application/problem+json", "internal_error")
        assert body["request_id"] == id_
        assert reply.headers["access-control-allow-origin"] == "https://general.example"
    else:
        assert body == {"detail": "Something went wrong on our side; the request id finds it in our log."}
    assert "secret" not in reply.text
    assert connection(first) == connection(reply) == connection(await web.get("/v1")), "the connection was kept"
    log = alone.gateway.log()
    assert log.count(f"request {id_}") == 1
    assert "DecodeError" in log.partition(f"request {id_}\nTraceback")[2]
    assert "Exception in ASGI" not in log


@pytest.mark.parametrize("path", [ASKING[0], MARKETPLACE[0]])
async def test_without_a_projector_it_is_for_later(web: httpx.AsyncClient, path: str) -> None:
    reply = await web.get(path)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1"), reply.text
    assert "projector" in reply.json()["detail"]


async def test_a_download_that_breaks_off_is_not_taken_for_whole(
    alone: Site, bus: Client, web: httpx.AsyncClient
) -> None:
    file = (await web.post("/v1/files?name=a", content=b"x" * 1_000_000)).json()
    js = bus.jetstream()
    meta = subjects.blob(file["data"]["sha256"], "meta")
    key = json.loads((await js.get_last_msg("BLOBS", meta)).data or b"")["key"]
    await js.purge_stream("BLOBS", subject=subjects.blob(key, "2"))
    content = f"/v1/files/{file['id']}/content"
    with pytest.raises(httpx.RemoteProtocolError):
        await web.get(content, headers={"X-Request-ID": "broken-off"})
    assert alone.gateway.log().count("request broken-off when a part of it was sent\nTraceback") == 1
    await js.purge_stream("BLOBS", subject=meta)
    gone = await web.get(content)
    assert (gone.status_code, gone.json()["code"]) == (404, "blob_not_found")


async def test_without_nats_it_is_for_later_everywhere(alone: Site, web: httpx.AsyncClient) -> None:
    alone.nats.kill()
    replies = await asyncio.gather(*(web.get(path) for path in (*ASKING, *MARKETPLACE)))
    for reply in replies:
        assert (reply.status_code, "retry-after" in reply.headers) == (503, True), (reply.url, reply.text)
    alone.nats.start()
    async with asyncio.timeout(60):
        while (await web.post("/v1/files?name=a", content=b"x")).status_code != 201:
            await asyncio.sleep(0.1)
