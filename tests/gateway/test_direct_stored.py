"""Files, datasets and models over NATS: uploaded in parts, read in pieces, with HTTP's refusals."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any

import httpx
import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.gateway.actor import Actor
from tests.gateway.test_direct import ask, command
from trialbook.blobs.parts import PART_BYTES
from trialbook.log.api import call

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("actor")]
WHOLE = os.urandom(2 * PART_BYTES + 12_345)


def ordered(content: bytes, upload: str, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    order = {"upload": upload, "parts": -(-len(content) // PART_BYTES), "size": len(content), "sha256": digest}
    return {**order, "name": "a.bin", **changes}


async def send(nc: Client, content: bytes, upload: str, who: str = "alice") -> None:
    parts = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
    for number, part in reversed(list(enumerate(parts))):  # in any order
        taken = await command(nc, f"file.part.{upload}.{number}", part, who=who)
        assert taken["result"] == {
            "number": number, "size": len(part), "sha256": hashlib.sha256(part).hexdigest(),
        }  # fmt: skip


async def uploaded(nc: Client, content: bytes, upload: str, **changes: Any) -> dict[str, Any]:
    await send(nc, content, upload)
    answer = await command(nc, "file.upload", ordered(content, upload, **changes))
    found: dict[str, Any] = answer["result"]
    return found


async def pieces(nc: Client, query: str, body: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content, size = b"", 1
    headers: dict[str, str] = {}
    while len(content) < size:
        question = msgspec.json.encode({**body, "start": len(content)})
        reply: Msg = await nc.request(f"question.main.alice.content.{query}", question, timeout=60)
        headers = reply.headers or {}
        size = int(headers["Trialbook-Size"])
        content += reply.data
    return content, headers


async def parts_left(nc: Client) -> int:
    info = await call(nc, "STREAM.INFO.BLOBS", {"subjects_filter": "blob.*.*"})
    found = (info["state"].get("subjects") or {}).keys()
    metas = [subject for subject in found if subject.endswith(".meta")]
    keys = {subject.split(".")[1] for subject in found} - {subject.split(".")[1] for subject in metas}
    return len(keys) - len(metas)  # chunks of a blob lie under a key of its own


async def test_an_uploaded_file_is_the_same_over_http(nc: Client, http: httpx.AsyncClient) -> None:
    file = await uploaded(nc, WHOLE, "u1", media_type="text/x-test", labels={"a": "b"})
    seen = await http.get(f"/v1/files/{file['id']}/content")
    assert (seen.content == WHOLE, seen.headers["content-type"]) == (True, "text/x-test")
    assert (await http.get(f"/v1/files/{file['id']}")).json() == file
    back, headers = await pieces(nc, "file", {"id": file["id"]})
    assert back == WHOLE
    assert headers["Trialbook-Sha256"] == file["data"]["sha256"]
    assert headers["Trialbook-Media-Type"] == "text/x-test"
    again = await command(nc, "file.upload", ordered(WHOLE, "u1"))
    assert again["error"]["code"] == "part_missing", "parts are forgotten with the upload"
    assert (await command(nc, "file.delete", {"id": file["id"]}))["result"] is None
    assert (await command(nc, "file.delete", {"id": file["id"]}))["error"]["code"] == "file_not_found"
    empty = (await command(nc, "file.upload", ordered(b"", "nothing")))["result"]
    assert (await pieces_of_empty(nc, empty["id"])) == b""


async def pieces_of_empty(nc: Client, file: str) -> bytes:
    reply = await nc.request("question.main.alice.content.file", msgspec.json.encode({"id": file}), timeout=60)
    return reply.data


async def test_a_key_makes_one_file_even_when_the_parts_are_gone(nc: Client, actor: Actor) -> None:
    key = {"Idempotency-Key": actor.ids.new()}
    await send(nc, WHOLE, "u2")
    first = await command(nc, "file.upload", ordered(WHOLE, "u2"), key)
    again = await command(nc, "file.upload", ordered(WHOLE, "u2"), key)
    assert (again["result"], again["replayed"]) == (first["result"], True)
    other = await command(nc, "file.upload", ordered(WHOLE, "u2", name="b.bin"), key)
    assert other["error"]["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sha256": "0" * 64}, "digest_mismatch"), ({"size": 5}, "size_mismatch"), ({"parts": 2}, "size_mismatch"),
        ({"parts": 4}, "part_missing"), ({"size": 1 << 40}, "too_large"), ({"name": "a/b"}, "validation_failed"),
        ({"name": ""}, "validation_failed"), ({"name": ".."}, "invalid_file_name"),
        ({"size": -1}, "validation_failed"),
        ({"labels": {" ": "x"}}, "validation_failed"),
        ({"sha256": "x"}, "validation_failed"), ({"colour": 1}, "validation_failed"),
    ],
)  # fmt: skip
async def test_a_wrong_upload_stores_nothing(nc: Client, changes: dict[str, Any], code: str) -> None:
    content = os.urandom(len(WHOLE))
    await send(nc, content, "wrong")
    before = await parts_left(nc)
    refused = await command(nc, "file.upload", ordered(content, "wrong", **changes))
    assert refused["error"]["code"] == code
    assert await parts_left(nc) == before, "nothing is left of the attempt"
    assert "result" in await command(nc, "file.upload", ordered(content, "wrong")), "the parts stay for another try"


async def test_parts_are_bounded_and_ones_own(nc: Client) -> None:
    for verb, body, code in (
        ("file.part.u.0", b"", "empty_part"),
        ("file.part.u.0", b"x" * (PART_BYTES + 1), "part_too_large"),
        ("file.part.u.0", b"x" * 500_000, "body_too_large"),
        ("file.part.u.65536", b"x", "invalid_number"),
        ("file.part.u.01", b"x", "invalid_number"),
        ("file.part.u.-1", b"x", "invalid_number"),
        ("file.part.é.1", b"x", "invalid_upload"),
        ("file.part", b"x", "unknown_command"),
        ("file.part.u", b"x", "unknown_command"),
        ("file.part.u.0.0", b"x", "unknown_command"),
        ("run.start.x", b"{}", "unknown_command"),
    ):
        assert (await command(nc, verb, body))["error"]["code"] == code, verb
    await send(nc, b"bob's", "shared", who="bob")
    stolen = await command(nc, "file.upload", ordered(b"bob's", "shared"))
    assert stolen["error"]["code"] == "part_missing"
    stream = await call(nc, "STREAM.INFO.BLOBS")
    assert stream["config"]["allow_msg_ttl"], "what is never finished expires"


@pytest.mark.parametrize("kind", ["dataset", "model"])
async def test_datasets_and_models_are_made_as_over_http(
    nc: Client, http: httpx.AsyncClient, actor: Actor, kind: str
) -> None:
    name, key = f"d-{actor.ids.new()}", {"Idempotency-Key": actor.ids.new()}
    made = await command(nc, f"{kind}.create", {"name": name, "labels": {"a": "b"}}, key)
    item = made["result"]
    assert (await http.get(f"/v1/{kind}s/{item['id']}", params={"at_least": made["sequence"]})).json() == item
    again = await command(nc, f"{kind}.create", {"name": name, "labels": {"a": "b"}}, key)
    assert (again["result"], again["replayed"]) == (item, True)
    assert (await command(nc, f"{kind}.create", {"name": name}))["error"]["code"] == "name_taken"
    file = await uploaded(nc, WHOLE, "u3")
    order = {"id": item["id"], "files": {"x.bin": file["id"], "y.bin": file["data"]["sha256"]}, "metadata": {"n": 1}}
    version = (await command(nc, f"{kind}.version", order))["result"]
    assert (await http.get(f"/v1/{kind}s/{item['id']}/versions/1")).json() == version
    wanted: dict[str, Any] = {"kind": kind, "id": item["id"], "version": 1, "name": "y.bin"}
    assert (await pieces(nc, "version", wanted))[0] == WHOLE
    assert (await ask(nc, "content.version", {**wanted, "name": "z"}))["error"]["code"] == "file_not_found"
    assert (await ask(nc, "content.version", {**wanted, "version": 2}))["error"]["code"] == "version_not_found"
    missing = {**order, "files": {"x": "0" * 64}}
    assert (await command(nc, f"{kind}.version", missing))["error"]["code"] == "input_not_found"
    assert (await command(nc, f"{kind}.delete", {"id": item["id"]}))["sequence"] > 0
    assert (await command(nc, f"{kind}.version", order))["error"]["code"] == f"{kind}_not_found"
    assert "result" in await command(nc, f"{kind}.create", {"name": name}), "its name is free"


DATASETS: list[Any] = [
    {},
    {"name": ""},
    {"name": "a", "colour": 1},
    {"name": "a", "labels": {"": "x"}},
    [],
    b"{",
    b"\xff",
]


@pytest.mark.parametrize("order", DATASETS, ids=repr)
async def test_refusals_are_those_of_http(nc: Client, http: httpx.AsyncClient, order: Any) -> None:
    body = order if isinstance(order, bytes) else msgspec.json.encode(order)
    over_http = (await http.post("/v1/datasets", content=body, headers={"Content-Type": "application/json"})).json()
    error = (await command(nc, "dataset.create", body))["error"]
    assert (error["code"], error["detail"]) == (over_http["code"], over_http["detail"])


async def test_pieces_have_ranges(nc: Client) -> None:
    file = await uploaded(nc, b"0123456789", "u4")
    asked = {"id": file["id"]}
    for piece, found in (({"start": 3, "length": 2}, b"34"), ({"start": 8, "length": 99}, b"89")):
        reply = await nc.request(
            "question.main.alice.content.file", msgspec.json.encode({**asked, **piece}), timeout=60
        )
        assert reply.data == found
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"start": 10}, "range_not_satisfiable"), ({"start": -1}, "validation_failed"),
        ({"length": 0}, "validation_failed"), ({"length": 1 << 30}, "validation_failed"), ({"id": "x"}, "invalid_id"),
        ({"id": "0" * 32}, "file_not_found"),
    ]  # fmt: skip
    for body, code in wrong:
        assert (await ask(nc, "content.file", {**asked, **body}))["error"]["code"] == code, body


async def test_what_runs_produce_is_read_and_replayed(nc: Client, actor: Actor, http: httpx.AsyncClient) -> None:
    run = (await command(nc, "run.submit", {"workload": "probe", "start": False}))["result"]["id"]
    assert (await ask(nc, "content.result", {"run": run}))["error"]["code"] == "result_not_found"
    missing = await ask(nc, "content.artifact", {"run": run, "name": "a"})
    assert missing["error"]["code"] == "artifact_not_found"
    early = await command(nc, "run.replay", {"id": run})
    assert early["error"]["code"] == "run_not_replayable"
    over_http = (await http.post(f"/v1/runs/{run}/replay")).json()
    assert early["error"]["detail"] == over_http["detail"]


async def test_many_parts_at_once_are_taken(nc: Client) -> None:
    content = os.urandom(16 * 1000)
    parts = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    await asyncio.gather(*(command(nc, f"file.part.many.{n}", part) for n, part in enumerate(parts)))
    answer = await command(nc, "file.upload", ordered(content, "many", parts=16))
    assert answer["result"]["data"]["size"] == len(content)


async def test_personal_data_is_not_taken_unsealed(nc: Client, http: httpx.AsyncClient) -> None:
    """This gateway has no master key: what names a data subject is refused, as over HTTP, and not stored in clear."""
    whose, order = {"Trialbook-Data-Subject": "ada@example.org"}, {"workload": "probe"}
    refused = (await http.post("/v1/runs", json=order, headers=whose)).json()
    orders = {"run.submit": order, "dataset.create": {"name": "of-ada"}, "file.upload": ordered(b"", "x")}
    for verb, body in orders.items():
        error = (await command(nc, verb, body, whose))["error"]
        assert (error["code"], error["detail"]) == (refused["code"], refused["detail"]), verb
    erased = await command(nc, "erasure.create", {"data_subject": "ada@example.org"})
    assert erased["error"]["code"] == refused["code"]
