"""Idempotency-Key: the same request has one effect and one reply, also at the same instant and with conditions."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.gateway.actor import Actor

pytestmark = pytest.mark.integration
BYTES = {"Content-Type": "application/octet-stream"}


async def create(http: httpx.AsyncClient, order: dict[str, object], key: str) -> httpx.Response:
    return await http.post("/v1/runs", json={"workload": "probe", **order}, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("order", [{}, {"name": "twice"}])
async def test_one_run_of_many_equal_requests(http: httpx.AsyncClient, actor: Actor, order: dict[str, object]) -> None:
    key = actor.ids.new()
    replies = await asyncio.gather(*(create(http, order, key) for _ in range(12)))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.content for reply in replies}) == 1
    assert sum("idempotency-replayed" in reply.headers for reply in replies) == 11
    other = await create(http, {**order, "seed": 2}, key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_a_repeated_creation_does_not_take_a_released_name_again(http: httpx.AsyncClient, actor: Actor) -> None:
    key, name = actor.ids.new(), f"name-{actor.ids.new()}"
    first = await create(http, {"name": name, "start": False}, key)
    assert (await http.delete(first.headers["location"])).status_code == 204
    again = await create(http, {"name": name, "start": False}, key)
    assert (again.status_code, again.content) == (201, first.content)
    assert (await http.post("/v1/runs", json={"workload": "probe", "name": name})).status_code == 201


@pytest.mark.parametrize("kind", ["datasets", "models"])
async def test_one_thing_and_one_version_of_many_equal_requests(
    http: httpx.AsyncClient, actor: Actor, kind: str
) -> None:
    key = {"Idempotency-Key": actor.ids.new()}
    body = {"name": actor.ids.new()}
    created = await asyncio.gather(*(http.post(f"/v1/{kind}", json=body, headers=key) for _ in range(12)))
    assert {reply.status_code for reply in created} == {201}
    assert sum("idempotency-replayed" in reply.headers for reply in created) == 11
    path = f"{created[0].headers['location']}/versions"

    async def add(content: bytes, key: dict[str, str]) -> httpx.Response:
        return await http.post(path, params={"name": "a.bin"}, content=content, headers={**BYTES, **key})

    added = await asyncio.gather(*(add(b"one", key) for _ in range(6)), *(add(str(n).encode(), {}) for n in range(4)))
    assert {reply.status_code for reply in added} == {201}
    keyed = added[:6]
    assert len({reply.content for reply in keyed}) == 1
    again = await add(b"one", key)
    assert (again.content, again.headers["idempotency-replayed"]) == (keyed[0].content, "true")
    assert again.headers["etag"] == keyed[0].headers["etag"]
    other = await add(b"two", key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert len((await http.get(path)).json()["items"]) == 5


async def test_a_file_under_another_name_or_label_is_another_request(http: httpx.AsyncClient, actor: Actor) -> None:
    key = {"Idempotency-Key": actor.ids.new()}
    assert (await http.post("/v1/files?name=a&label=k:v", content=b"x", headers=key)).status_code == 201
    assert (await http.post("/v1/files?name=a&label=k:v", content=b"x", headers=key)).status_code == 201
    for query in ("name=b&label=k:v", "name=a&label=k:w", "name=a"):
        reply = await http.post(f"/v1/files?{query}", content=b"x", headers=key)
        assert (reply.status_code, reply.json()["code"]) == (409, "idempotency_key_reused"), query


async def test_a_repeated_command_keeps_its_condition(http: httpx.AsyncClient, actor: Actor) -> None:
    """A client whose reply was lost repeats key and If-Match alike; the first one met the condition."""
    first = await http.post("/v1/runs", json={"workload": "probe", "start": False})
    path, key = first.headers["location"], actor.ids.new()
    headers = {"If-Match": first.headers["etag"], "Idempotency-Key": key}
    for _ in range(2):
        assert (await http.post(f"{path}/start", headers=headers)).status_code == 200
    stale = await http.post(f"{path}/cancel", headers={"If-Match": first.headers["etag"], "Idempotency-Key": "other"})
    assert stale.status_code == 412
    cancelled = await http.post(f"{path}/cancel")
    headers = {"If-Match": cancelled.headers["etag"], "Idempotency-Key": key + "-delete"}
    for _ in range(2):
        assert (await http.delete(path, headers=headers)).status_code == 204
