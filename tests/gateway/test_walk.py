"""Every route of both documents with wrong input of every kind: never a fault of ours, always the API's shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.gateway.actor import Actor
from tests.gateway.conftest import Site

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("actor")]
JSON = {"Content-Type": "application/json"}
ZERO = "0" * 32
WORDS = [
    "x",
    ZERO,
    "%00",
    "%FF%FE",
    "..%2F..%2Fetc%2Fpasswd",
    "9" * 400,
    "-1",
    "%F0%9F%92%A9",
    "'%22;--",
    "1e999",
    "%20",
]
VALUES = [
    "",
    "%00",
    "%FF",
    "-1",
    "9" * 30,
    "1e999",
    "nan",
    "null",
    "%7B%7D",
    "%ED%A0%80",
    "x" * 3000,
    "2026-13-45T99:99:99Z",
]
BODIES: list[bytes] = [
    b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 50_000,
    b'{"a":' * 200 + b"1" + b"}" * 200,
    b'{"name":"\\u0000"}', b'{"name":"\\ud800"}', b'{"id":NaN}', b'{"size":' + b"9" * 4400 + b"}",
    b'{"size":1e400}', b"{}",
    b'{"name":["x"],"id":{},"files":7,"workload":false,"dataset":1,"sql":null,"key":[],"params":"x","title":[1]}',
    b'{"workload":"x","dataset":"x","sql":"\\u0000","name":"/","id":"A B","files":{"/":"x"},"title":"","n":-1}',
]  # fmt: skip
TYPES = [
    "application/json",
    "text/xml",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "x",
    "application/json; charset=utf-16",
]
HEADERS = [b"If-Match", b"Idempotency-Key", b"Trialbook-Workspace", b"Trialbook-Data-Subject", b"Content-Digest"]
QUERIES = ["unknown=1", "&&==", "%00=1", "a" * 17_000, "workspace=%00", "workspace=nowhere", "as_of=x"]
MARKET = "/marketplace"


@pytest.fixture
async def web(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site.url, timeout=30, limits=httpx.Limits(max_connections=8)) as client:
        yield client


def filled(path: str, word: str) -> str:
    parts = [word if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


def faults(reply: httpx.Response, what: str) -> list[str]:
    """What is wrong with an answer; its body is read whole, so it may be no stream."""
    if reply.status_code < 400:
        return []
    said = f"{what} -> {reply.status_code} {reply.text[:160]}"
    if reply.status_code in (500, 501, 502) or (reply.status_code >= 500 and "retry-after" not in reply.headers):
        return [f"a fault of ours: {said}"]
    if reply.request.method == "HEAD":
        return []
    try:
        body = reply.json()
    except ValueError:
        return [f"no JSON: {said}"]
    if not (reply.request.url.path + "/").startswith("/v1/") and reply.request.method != "BREW":
        told = isinstance(body.get("detail"), str | list) and bool(body["detail"])
        return [] if told and reply.headers["content-type"] == "application/json" else [f"no detail: {said}"]
    good = reply.headers["content-type"] == "application/problem+json" and body.get("status") == reply.status_code
    told = all(isinstance(body.get(name), str) and body[name] for name in ("code", "detail"))
    told = told and (reply.request.method == "BREW" or body["request_id"] == reply.headers["x-request-id"])
    return [] if good and told else [f"no problem: {said}"]


async def operations(web: httpx.AsyncClient, prefix: str) -> list[tuple[str, str, list[str]]]:
    """Path, method, names of the query parameters."""
    document = (await web.get(f"{prefix}/openapi.json")).json()
    found = []
    for path, item in document["paths"].items():
        if not prefix and not path.startswith("/v1"):
            continue
        for method, described in item.items():
            names = [p["name"] for p in described.get("parameters", []) if p["in"] == "query"]
            found.append((prefix + path, method.upper(), names))
    assert len(found) > 20
    return found


async def answered(web: httpx.AsyncClient, method: str, url: str, **options: Any) -> list[str]:
    """The faults of one answer; of a stream only its head is looked at."""
    what = f"{method} {url[:120]} {str(options)[:120]}"
    async with web.stream(method, url, **options) as reply:
        if reply.status_code < 400:
            return []
        await reply.aread()
        return faults(reply, what)


async def all_of(requests: list[Any]) -> list[str]:
    wrong: list[str] = []
    for at in range(0, len(requests), 8):
        for found in await asyncio.gather(*requests[at : at + 8]):
            wrong += found
    return wrong


@pytest.mark.parametrize("prefix", ["", MARKET])
async def test_paths_and_queries(web: httpx.AsyncClient, prefix: str) -> None:
    requests: list[Any] = []
    for path, method, names in await operations(web, prefix):
        if method != "GET":
            continue
        requests += [answered(web, "GET", filled(path, word)) for word in WORDS if "{" in path]
        known = filled(path, ZERO)
        for name in names:
            requests += [answered(web, "GET", f"{known}?{name}={value}") for value in VALUES]
            requests.append(answered(web, "GET", f"{known}?{name}=1&{name}=2"))
        requests += [answered(web, "GET", f"{known}?{query}") for query in QUERIES]
    wrong = await all_of(requests)
    assert not wrong, f"{len(wrong)} of {len(requests)}\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize("prefix", ["", MARKET])
async def test_bodies_and_types(web: httpx.AsyncClient, prefix: str) -> None:
    requests: list[Any] = []
    for path, method, _ in await operations(web, prefix):
        if method not in ("POST", "PUT", "PATCH", "DELETE"):
            continue
        known, other = filled(path, ZERO), filled(path, "main")
        requests += [
            answered(web, method, url, content=body, headers=JSON) for body in BODIES for url in (known, other)
        ]
        requests += [
            answered(web, method, known, content=b"--x\r\n\r\n{}", headers={"Content-Type": type_}) for type_ in TYPES
        ]
        requests += [
            answered(web, method, known, content=b"{}", headers=[(b"content-type", b"application/json"), (name, value)])
            for name in HEADERS
            for value in (b"", b"\xff\xfe", b"x" * 5000, b'""', b"W/")
        ]
    wrong = await all_of(requests)
    assert not wrong, f"{len(wrong)} of {len(requests)}\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize("prefix", ["", MARKET])
async def test_methods_and_slashes(web: httpx.AsyncClient, prefix: str) -> None:
    requests = []
    for path, method, _ in await operations(web, prefix):
        known = filled(path, ZERO)
        others = {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - {method}
        requests += [answered(web, other, known) for other in sorted(others)]
        odd = (known + "/", known + "//", known.replace("/", "//", 2), known + "/%2e%2e", known + ";x=1", known.upper())
        requests += [answered(web, method, url, content=b"{}", headers=JSON) for url in odd]
    wrong = await all_of(requests)
    assert not wrong, f"{len(wrong)} of {len(requests)}\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize("prefix", ["", MARKET])
async def test_bodies_without_an_end(site: Site, web: httpx.AsyncClient, prefix: str) -> None:
    """Chunks for ever: the answer comes when there is too much, and the connection is not kept."""
    paths = sorted({filled(path, ZERO) for path, method, _ in await operations(web, prefix) if method == "POST"})
    assert not [fault for path in paths for fault in await endless(site, path)]


async def endless(site: Site, path: str) -> list[str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    reply = asyncio.create_task(reader.read(65536))
    try:
        async with asyncio.timeout(30):
            while not reply.done():
                writer.write(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
    except ConnectionError:
        pass
    status = (await reply)[:13]
    writer.close()
    return [] if b" 4" in status else [f"{path}: {status!r}"]


async def test_the_service_is_well_afterwards(web: httpx.AsyncClient, actor: Actor) -> None:
    assert (await web.get("/health/ready")).status_code == 200
    assert (await web.post("/v1/runs", json={"workload": "probe"})).status_code == 201
