from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.gateway.actor import Actor
from tests.gateway.conftest import Site

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("actor")]
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff\xfe", 400), (b'{"workload":"probe","workload":"probe"}', 400),
        (b'{"workload":"probe","seed":NaN}', 400), (b'{"workload":"probe","seed":1e999}', 400),
        (b'{"workload":"probe","seed":' + b"9" * 5000 + b"}", 400),
        (b'{"workload":"probe","seed":9223372036854775808}', 422),
        (b"[" * 100_000, 400), (b'{"workload":"probe","params":' + b'{"a":' * 70 + b"1" + b"}" * 71, 400),
        (b'{"workload":"probe","title":"\\u0000"}', 422), (b'{"workload":"probe","title":"\\ud800"}', 422),
        (b'{"workload":"probe","params":{"\\ud800":1}}', 422), (b"[]", 422), (b'"x"', 422), (b"null", 422),
        (b'{"workload":"probe","title":"' + b"x" * 500_000 + b'"}', 413), (b'{"workload":7}', 422), (b"{}", 422),
        (b'{"workload":"probe","timeout_s":-1}', 422), (b'{"workload":"probe","start":"yes"}', 422),
    ],
)  # fmt: skip
async def test_bad_bodies_are_refused_clearly(http: httpx.AsyncClient, body: bytes, status: int) -> None:
    reply = await http.post("/v1/runs", content=body, headers=JSON)
    problem = reply.json()
    assert (reply.status_code, problem["status"]) == (status, status), problem
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem["code"]
    assert problem["detail"]
    assert problem["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/runs/zzz", 422), ("/v1/runs/%00", 422), ("/v1/runs/%FF%FE", 422), (f"/v1/runs/{'0' * 32}", 404),
        (f"/v1/runs/{'1' * 5000}", 422), ("/v1/runs?limit=0", 422), ("/v1/runs?limit=99999999999999999999", 422),
        ("/v1/runs?limit=1&limit=2", 422), ("/v1/runs?cursor=nonsense", 422), ("/v1/runs?unknown=1", 422),
        ("/v1/runs?created_after=soon", 422), ("/v1/runs?status=done", 422), ("/v1/runs?label=x", 422),
        ("/v1/runs?q=%00", 422), ("/v1/runs?at_least=99999999999", 422), ("/v1/events?after=-1", 422),
        (f"/v1/runs/{'0' * 32}/logs?cursor=99999999999999999999", 422), ("/v1/runs?workspace=A%20B", 422),
        (f"/v1/runs/{'0' * 32}?as_of=99999999999999999999", 422), (f"/v1/runs?q={'x' * 20_000}", 414),
        (f"/v1/runs/{'0' * 32}/logs?since=0000-00-00", 422), ("/v1/nothing", 404), ("/v1/workloads/nothing", 404),
    ],
)  # fmt: skip
async def test_bad_urls_are_refused_clearly(http: httpx.AsyncClient, path: str, status: int) -> None:
    reply = await http.get(path)
    assert reply.status_code == status, reply.text
    assert reply.json()["code"]


async def test_methods_types_and_headers(http: httpx.AsyncClient) -> None:
    wrong = await http.put("/v1/runs")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")
    text = await http.post("/v1/runs", content=b"{}", headers={"Content-Type": "text/xml"})
    assert (text.status_code, text.json()["code"]) == (415, "unsupported_media_type")
    key = await http.post("/v1/runs", json={"workload": "probe"}, headers={"Idempotency-Key": "x" * 300})
    assert key.json()["code"] == "invalid_idempotency_key"


async def test_the_request_id_is_kept(http: httpx.AsyncClient, actor: Actor) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-ID": "my-request/1", "traceparent": trace}
    reply = await http.post("/v1/runs", json={"workload": "probe"}, headers=headers)
    assert reply.headers["x-request-id"] == "my-request/1"
    event = (await http.get(f"{reply.headers['location']}/facts")).json()["items"][0]["event"]
    assert (event["correlationid"], event["traceparent"]) == ("my-request/1", trace)
    odd = await http.get("/v1", headers={"X-Request-ID": "no spaces please"})
    assert len(odd.headers["x-request-id"]) == 32


async def test_raw_nonsense_does_not_end_the_server(site: Site, http: httpx.AsyncClient) -> None:
    for bytes_ in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/runs HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(bytes_)
        await asyncio.wait_for(reader.read(200), 30)
        writer.close()
    assert (await http.get("/health/live")).status_code == 200


async def test_metrics_have_few_series(http: httpx.AsyncClient) -> None:
    for number in range(20):
        await http.get(f"/v1/runs/{number:032x}")
        await http.get(f"/nothing/{number}")
    text = (await http.get("/metrics")).text
    assert 'route="/v1/runs/{run}"' in text
    assert "0000000000" not in text
    assert 'trialbook_projector_lag_messages{stream="facts"}' in text


async def test_health_and_index(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/live")).json() == {"status": "alive"}
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()["services"]["nats"]) == (200, "healthy")
    union = (await http.get("/health")).json()
    assert union["service"] == "trialbook"
    assert union["sessions"][0]["display_name"] == "main"
    for link in (await http.get("/v1")).json()["links"].values():
        assert (await http.get(link)).status_code in (200, 405, 422), link


async def test_head_is_get_without_a_body(http: httpx.AsyncClient) -> None:
    file = (await http.post("/v1/files?name=a", content=b"x" * 300_000)).headers["location"]
    run = (await http.post("/v1/runs", json={"workload": "probe", "start": False})).headers["location"]
    for path in ("/v1/runs", run, f"{file}/content", "/health", "/marketplace/api/settings", "/api/settings"):
        told, shown = await http.head(path), await http.get(path)
        assert (told.status_code, told.content) == (200, b""), path
        assert told.headers["content-type"] == shown.headers["content-type"]
        assert told.headers.get("etag") == shown.headers.get("etag")
    assert (await http.head(f"{file}/content", headers={"Range": "bytes=0-4"})).headers["content-length"] == "5"
    async with asyncio.timeout(30):  # a stream without an end has a head
        assert (await http.head(f"{run}/stream")).headers["content-type"].startswith("text/event-stream")
    assert (await http.head("/v1/sql")).status_code == 405
    assert 'method="HEAD",route="/v1/runs/{run}",status="200"' in (await http.get("/metrics")).text


async def test_a_body_that_does_not_come_is_not_waited_for(site: Site) -> None:
    for path in ("/v1/runs", "/v1/files?name=a", "/api/experiments"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        async with asyncio.timeout(30):
            reply = await reader.read()  # to the end: the connection is closed
        assert reply.startswith(b"HTTP/1.1 408 "), path
        writer.close()


async def test_an_order_has_no_unknown_query(http: httpx.AsyncClient) -> None:
    for query, status in (("", 201), ("?workspace=main", 201), ("?dry_run=1", 422), ("?workspace=a&workspace=b", 422)):
        reply = await http.post(f"/v1/runs{query}", json={"workload": "probe", "start": False})
        assert reply.status_code == status, query


async def test_a_websocket_at_no_path_is_a_problem(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{site.url.replace('http', 'ws', 1)}/v1/nothing"):
            pass
    assert refused.value.response.status_code == 404
    assert refused.value.response.headers["content-type"] == "application/problem+json"


async def test_origins_are_allowed_per_group(http: httpx.AsyncClient) -> None:
    def allowed(reply: httpx.Response) -> str | None:
        found: str | None = reply.headers.get("access-control-allow-origin")
        return found

    general, market = {"Origin": "https://general.example"}, {"Origin": "https://market.example"}
    for path in ("/v1/runs", "/health"):
        assert allowed(await http.get(path, headers=general)) == "https://general.example"
        assert allowed(await http.get(path, headers=market)) is None
    for path in (
        "/api/settings",
        "/marketplace/api/settings",
        "/api/experiments/nobody/status",
        "/api/experiments/x/y/z",
    ):
        assert allowed(await http.get(path, headers=market)) == "https://market.example", path
        assert allowed(await http.get(path, headers=general)) is None, path
    asked = {**market, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert (await http.options("/api/experiments", headers=asked)).status_code == 200
    assert (await http.options("/v1/runs", headers=asked)).status_code == 400
