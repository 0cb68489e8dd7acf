from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.gateway.actor import Actor
from trialbook.blobs.nats import NatsBlobStore
from trialbook.domain.run import commands as c

pytestmark = pytest.mark.integration


async def upload(http: httpx.AsyncClient, content: bytes, name: str = "a.bin", **headers: str) -> httpx.Response:
    return await http.post("/v1/files", params={"name": name}, content=content, headers=headers)


async def test_bytes_come_back_whole_and_in_ranges(http: httpx.AsyncClient) -> None:
    content = random.Random(1).randbytes(1_000_003)
    digest = hashlib.sha256(content).digest()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 70_001):
            yield content[start : start + 70_001]

    reply = await http.post(
        "/v1/files", params={"name": "été.bin", "label": "a:b"}, content=pieces(),
        headers={"Content-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:", "Content-Type": "image/png"},
    )  # fmt: skip
    assert reply.status_code == 201
    record = reply.json()
    assert record["data"]["sha256"] == digest.hex()
    assert (record["data"]["size"], record["data"]["labels"]) == (len(content), {"a": "b"})
    assert (await http.get(reply.headers["location"])).json() == record
    path = f"{reply.headers['location']}/content"
    whole = await http.get(path)
    assert whole.content == content
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-disposition"].startswith("attachment;")
    for header, expected in (
        ("bytes=0-0", content[:1]), ("bytes=300000-300009", content[300_000:300_010]), ("bytes=-5", content[-5:]),
        ("bytes=999999-", content[999_999:]), ("bytes=5-99999999", content[5:]),
    ):  # fmt: skip
        part = await http.get(path, headers={"Range": header})
        assert (part.status_code, part.content) == (206, expected)
        start = content.index(expected) if header != "bytes=0-0" else 0
        assert part.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{len(content)}"
    beyond = await http.get(path, headers={"Range": "bytes=1000003-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert (await http.get(path, headers={"Range": "bytes=0-1,3-4"})).status_code == 200
    assert (await http.get(path, headers={"If-None-Match": whole.headers["etag"]})).status_code == 304
    changed = await http.get(path, headers={"Range": "bytes=0-0", "If-Range": '"other"'})
    assert changed.status_code == 200


async def test_a_wrong_digest_keeps_nothing(http: httpx.AsyncClient, actor: Actor) -> None:
    content = b"never seen before " + actor.ids.new().encode()
    reply = await upload(http, content, **{"X-Checksum-Sha256": "0" * 64})
    assert (reply.status_code, reply.json()["code"]) == (422, "digest_mismatch")
    assert await NatsBlobStore(actor.nc).stat(hashlib.sha256(content).hexdigest()) is None
    assert (await upload(http, content, Digest="sha-256=nonsense")).status_code == 400


async def test_an_upload_has_a_limit_announced_or_not(http: httpx.AsyncClient) -> None:
    announced = await upload(http, b"x" * 3_000_001)
    assert (announced.status_code, announced.json()["code"]) == (413, "body_too_large")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"y" * 100_000

    chunked = await http.post("/v1/files", params={"name": "a"}, content=pieces())
    assert chunked.status_code == 413


async def test_multipart_takes_one_file(http: httpx.AsyncClient) -> None:
    one = await http.post("/v1/files", files={"file": ("../etc/a.csv", b"1,2", "text/csv")})
    assert one.status_code == 201
    assert (one.json()["data"]["name"], one.json()["data"]["media_type"]) == ("a.csv", "text/csv")
    two = await http.post("/v1/files", files=[("file", ("a", b"1")), ("file", ("b", b"2"))])
    assert two.json()["code"] == "one_file_expected"
    torn = await http.post(
        "/v1/files", content=b"--x\r\nnonsense", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert torn.status_code in (400, 422)


async def test_an_upload_is_idempotent(http: httpx.AsyncClient, actor: Actor) -> None:
    key = {"Idempotency-Key": actor.ids.new()}
    first = await upload(http, b"content", **key)
    again = await upload(http, b"content", **key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await upload(http, b"other", **key)).json()["code"] == "idempotency_key_reused"


async def test_deleted_files_are_gone(http: httpx.AsyncClient) -> None:
    path = (await upload(http, b"soon gone")).headers["location"]
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    assert (await http.get(f"{path}/content")).status_code == 404
    assert (await http.delete(path)).status_code == 404


@pytest.mark.parametrize("kind", ["datasets", "models"])
async def test_versions_are_immutable_and_numbered(http: httpx.AsyncClient, actor: Actor, kind: str) -> None:
    name = f"{kind} {actor.ids.new()}"
    created = await http.post(f"/v1/{kind}", json={"name": name, "labels": {"x": "y"}})
    path = created.headers["location"]
    assert (await http.post(f"/v1/{kind}", json={"name": name})).json()["code"] == "name_taken"
    file = (await upload(http, b"first", name="x.txt")).json()
    one = await http.post(f"{path}/versions", json={"files": {"x.txt": file["id"]}, "metadata": {"rows": 1}})
    assert (one.status_code, one.json()["number"]) == (201, 1)
    two = await http.post(f"{path}/versions", files=[("f", ("a.txt", b"aa")), ("f", ("b.txt", b"bb"))])
    three = await http.post(f"{path}/versions", params={"name": "raw.txt"}, content=b"raw")
    assert (two.json()["number"], three.json()["number"]) == (2, 3)
    assert [v["number"] for v in (await http.get(f"{path}/versions")).json()["items"]] == [1, 2, 3]
    assert (await http.get(f"{path}/versions/1/files/x.txt")).content == b"first"
    assert (await http.get(f"{path}/versions/2/files/b.txt")).content == b"bb"
    assert (await http.get(f"{path}/versions/4")).status_code == 404
    missing = await http.post(f"{path}/versions", json={"files": {"x": "0" * 64}})
    assert missing.json()["code"] == "input_not_found"
    assert (await http.get(path)).json()["data"]["versions"][2]["number"] == 3
    assert (await http.delete(path)).status_code == 204
    assert (await http.post(f"/v1/{kind}", json={"name": name})).status_code == 201


async def test_inputs_must_be_stored(http: httpx.AsyncClient, actor: Actor) -> None:
    file = (await upload(http, b"input")).json()
    order = {"workload": "probe", "inputs": {"data.csv": file["id"]}}
    assert (await http.post("/v1/runs", json=order)).json()["inputs"] == {"data.csv": file["data"]["sha256"]}
    order["inputs"] = {"data.csv": "f" * 64}
    assert (await http.post("/v1/runs", json=order)).json()["code"] == "input_not_found"


async def test_artifacts_steps_rows_and_facts_of_a_run(http: httpx.AsyncClient, actor: Actor) -> None:
    run = (await http.post("/v1/runs", json={"workload": "probe"})).json()["id"]

    async def content() -> AsyncIterator[bytes]:
        yield b"a,b\n1,2\n"

    stored = await NatsBlobStore(actor.nc).put(content())
    await actor.claim(run)
    await actor.handle(run, c.StartStep(attempt=1, step="load"))
    await actor.handle(run, c.CompleteStep(attempt=1, step="load", result=3))
    artifact = c.RecordArtifact(
        attempt=1, name="out/t.csv", sha256=stored.sha256, size=stored.size, media_type="text/csv"
    )
    await actor.handle(run, artifact)
    await actor.metric(run, 0.5)
    await actor.lines(run, 3)
    await actor.complete(run)
    sequence = (await http.get(f"/v1/runs/{run}?wait=5")).json()["sequence"]
    path = f"/v1/runs/{run}"
    listed = (await http.get(f"{path}/artifacts")).json()["items"]
    assert [item["name"] for item in listed] == ["out/t.csv"]
    assert (await http.get(listed[0]["path"])).text == "a,b\n1,2\n"
    assert (await http.get(f"{path}/artifacts/none")).json()["code"] == "artifact_not_found"
    assert (await http.get(f"{path}/steps")).json()["load"]["result"] == 3
    facts = (await http.get(f"{path}/facts", params={"at_least": sequence})).json()["items"]
    assert [fact["event"]["type"].split(".")[1] for fact in facts] == [
        "submitted", "started", "step_started", "step_completed", "artifact_recorded", "completed",
    ]  # fmt: skip
    first = await http.get(f"{path}/facts", params={"limit": 2})
    assert 'rel="next"' in first.headers["link"]
    signals = {"at_least_signals": actor.last_signal}
    text = await http.get(f"{path}/logs", params=signals, headers={"Accept": "text/plain"})
    assert len(text.text.splitlines()) == 3
    ndjson = await http.get(f"{path}/logs", params=signals, headers={"Accept": "application/x-ndjson"})
    assert len(ndjson.text.splitlines()) == 3
    assert [p["value"] for p in (await http.get(f"{path}/metrics")).json()["items"]] == [0.5]
    compared = await http.get("/v1/metrics/compare", params={"metric": "loss", "run": run})
    assert compared.json()[0]["last"] == 0.5


async def test_sql_in_every_form(http: httpx.AsyncClient) -> None:
    reply = await http.post("/v1/sql", json={"sql": "SELECT ? + 1 AS x", "params": [41]})
    assert reply.json()["rows"] == [[42]]
    plain = {"Content-Type": "text/plain"}
    csv = await http.post("/v1/sql", content="SELECT 1 AS x", headers={**plain, "Accept": "text/csv"})
    assert csv.text.split() == ["x", "1"]
    arrow = "application/vnd.apache.arrow.stream"
    binary = await http.post("/v1/sql", content="SELECT 1 AS x", headers={**plain, "Accept": arrow})
    assert binary.headers["content-type"].startswith(arrow)
    for statement in ("DELETE FROM runs", "SELECT * FROM read_csv('/etc/passwd')", "SELEC 1", "SELECT 1; SELECT 2"):
        refused = await http.post("/v1/sql", json={"sql": statement})
        assert 400 <= refused.status_code < 500, statement


async def test_the_default_workspace_stays(http: httpx.AsyncClient) -> None:
    assert (await http.delete("/v1/workspaces/main")).json()["code"] == "default_workspace"
    assert (await http.patch("/v1/workspaces/main", json={"title": "Main room"})).json()["title"] == "Main room"
    assert "main" in [item["id"] for item in (await http.get("/v1/workspaces")).json()["items"]]
    assert (await http.post("/v1/workspaces", json={"id": "Not A Slug"})).status_code == 422
