"""The proof of a whole stack: command line, HTTP, witness, rotation, exports; and what is left of it when damaged."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.faults.tampering import records
from trialbook.audit import merkle, notes, signer
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.signer import WITNESS, Signer
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
WITNESSES = Signer("witness-1", bytes([7]) * 32, WITNESS)
TOKENS = "ops:a-long-secret,alice:another-secret:main"
OPS = {"Authorization": "Bearer a-long-secret"}
ALICE = {"Authorization": "Bearer another-secret"}
READY_S = 90.0


class Running:
    """A stack with some runs in it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.http = httpx.AsyncClient(base_url=stack.url, headers=OPS, trust_env=False, timeout=20)

    async def cli(self, *words: str) -> tuple[int, str]:
        """Exit code and output of a command."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trialbook_deploy", *words, cwd=self.folder,
            env={
                "TRIALBOOK_DATA_DIR": str(self.stack.data_dir), "TRIALBOOK_TOKEN": "a-long-secret",
                "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(filter(None, sys.path)),
            },
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def work(self, count: int) -> None:
        """Have some facts."""
        for number in range(count):
            reply = await self.http.post("/v1/runs", json={"workload": "noop", "params": {"echo": number}})
            assert reply.status_code == 201, reply.text

    async def said(self) -> Checkpoint:
        """A checkpoint over everything, now."""
        text = (await self.http.post("/v1/ledger/checkpoints")).text
        found = parse_text(notes.parse(text.encode()).text)
        assert isinstance(found, Checkpoint)
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture
async def running(folder: Path) -> AsyncIterator[Running]:
    env = {"TRIALBOOK_API_TOKENS": TOKENS, "TRIALBOOK_WITNESS_KEYS": WITNESSES.public.text}
    async with Stack(folder / "data", env=env, ready_timeout_seconds=READY_S) as stack:
        found = Running(stack, folder)
        await found.work(5)
        yield found
        await found.http.aclose()


@pytest.mark.slow
async def test_everything_is_proven(running: Running, folder: Path) -> None:
    await _proofs(running)
    await _command_line(running)
    await _cosignatures(running, folder)
    await _rotation(running)
    await _exports(running, folder)


async def _proofs(running: Running) -> None:
    http, first = running.http, await running.said()
    await running.work(3)
    second = await running.said()
    assert second.size > first.size
    proof = (
        await http.get("/v1/ledger/proofs/consistency", params={"first": first.size, "second": second.size})
    ).json()
    path = [bytes.fromhex(part) for part in proof["path"]]
    assert merkle.verify_consistency(first.size, second.size, path, first.root, second.root)
    own: int = (await http.get("/v1/events", params={"limit": 1, "after": 2})).json()["items"][0]["sequence"]
    proof = (await http.get("/v1/ledger/proofs/inclusion", params={"sequence": own, "size": second.size})).json()
    path = [bytes.fromhex(part) for part in proof["path"]]
    assert merkle.verify_inclusion(bytes.fromhex(proof["leaf"]), own - 1, second.size, path, second.root)
    tile = (await http.get(f"/v1/ledger/tile/0/000.p/{first.size}")).content
    assert merkle.head([tile[i : i + 32] for i in range(0, len(tile), 32)]) == first.root
    await _limited(running, own, second.size)


async def _limited(running: Running, own: int, size: int) -> None:
    """A token of one workspace sees its own proofs and the state, and nothing of the whole."""
    http = running.http
    assert (await http.get("/v1/ledger", headers=ALICE)).status_code == 200
    assert (await http.get(f"/v1/ledger/proofs/inclusion?sequence={own}", headers=ALICE)).status_code == 200
    for path in ("/tile/0/000", "/checkpoints", "/proofs/consistency?first=1"):
        reply = await http.get(f"/v1/ledger{path}", headers=ALICE)
        assert (reply.status_code, reply.json()["code"]) == (403, "ledger_forbidden")
    assert (await http.post("/v1/ledger/checkpoints", headers=ALICE)).status_code == 403
    assert (await http.get("/v1/ledger", headers={"Authorization": ""})).status_code == 401
    assert (await http.get(f"/v1/ledger/proofs/inclusion?sequence={size + 10_000}")).json()["code"] == "future_sequence"
    assert (await http.get("/v1/ledger/proofs/inclusion?sequence=9&size=3")).json()["code"] == "invalid_proof"
    assert (await http.get("/v1/ledger/tile/0/999")).status_code == 404
    assert (await http.get("/v1/ledger/tile/0/../x")).status_code in (404, 422)


async def _command_line(running: Running) -> None:
    code, key = await running.cli("audit", "key")
    assert code == 0
    code, note = await running.cli("audit", "checkpoint", "--now")
    assert signer.verified(notes.parse(note.encode()), [signer.parse_public(key)])
    code, text = await running.cli("audit", "prove", "2", "--json")
    assert (code, json.loads(text)["sequence"]) == (0, 2)
    code, text = await running.cli("audit", "status")
    assert code == 0, text
    code, text = await running.cli("audit", "verify", "--live", "--json")
    assert (code, json.loads(text)["findings"]) == (0, []), text


async def _cosignatures(running: Running, folder: Path) -> None:
    (folder / "witness.key").write_text(WITNESSES.text)
    look = ("audit", "witness", "--state", "seen.json", "--key", "witness.key", "--url", running.stack.url)
    for _ in range(2):
        code, text = await running.cli(*look)
        assert code == 0, text
        await running.work(1)
        await running.said()
    shown = (await running.http.get("/v1/ledger/checkpoints")).json()["items"]
    assert any(note["signatures"][1:] == ["witness-1"] for note in shown)
    stranger = Signer("witness-2", bytes([8]) * 32, WITNESS)
    note = notes.parse((await running.http.get("/v1/ledger/checkpoint")).content)
    cosigned = notes.Note(note.text, (*note.signatures, stranger.sign(note.text, 5))).encode()
    reply = await running.http.post("/v1/ledger/cosignatures", content=cosigned, headers={"Content-Type": "text/plain"})
    assert (reply.status_code, reply.json()["code"]) == (403, "unknown_witness")
    _rewrite(folder / "seen.json")
    code, text = await running.cli(*look)
    assert (code, "FORK" in text) == (5, True), text
    (folder / "seen.json").unlink()


def _rewrite(state: Path) -> None:
    """What the witness would have seen, had the log shown another ledger, signed with its key, before."""
    seen = json.loads(state.read_text())
    key = Signer.parse((state.parent / "data" / "ledger" / "key").read_text())
    said = parse_text(notes.parse(seen["note"].encode()).text)
    assert isinstance(said, Checkpoint)
    other = Checkpoint(said.origin, said.size, bytes(32), said.time_s)
    seen["note"] = key.note(other.text).encode().decode()
    state.write_text(json.dumps(seen))


async def _rotation(running: Running) -> None:
    look = ("audit", "witness", "--state", "followed.json", "--key", "witness.key", "--url", running.stack.url)
    assert (await running.cli(*look))[0] == 0
    _, old = await running.cli("audit", "key")
    code, new = await running.cli("audit", "rotate-key")
    assert code == 0, new
    assert (await running.cli(*look))[0] == 0  # the last checkpoint is still one of the old key
    await running.work(1)
    note = notes.parse((await running.http.post("/v1/ledger/checkpoints")).content)
    assert signer.verified(note, [signer.parse_public(new)])
    _, keys = await running.cli("audit", "key")
    assert keys.split() == [old.strip(), new.strip()]
    code, text = await running.cli("audit", "verify", "--live", "--key", old.strip())  # the old key is all one needs
    assert code == 0, text
    for extra in ((), ("--log-key", old.strip())):  # a witness needs nobody to tell it
        code, text = await running.cli(*look, *extra)
        assert code == 0, text
    assert new.strip() in (running.folder / "followed.json").read_text()


async def _exports(running: Running, folder: Path) -> None:
    code, text = await running.cli("export", "out")
    assert code == 0, text
    _, keys = await running.cli("audit", "key")
    verify = ("audit", "verify", "out", "--key", keys.split()[0], "--json")
    code, text = await running.cli(*verify)
    assert (code, json.loads(text)["findings"]) == (0, []), text
    assert json.loads(text)["signed"] == json.loads(text)["facts"]
    log = signer.parse_public(keys.split()[1])  # the old key's note leads to the one that has signed
    assert (json.loads(text)["manifest"]["name"], json.loads(text)["manifest"]["key_id"]) == (log.name, log.id)
    await _unproven(running, folder / "out", keys.split()[0])
    code, text = await running.cli("audit", "verify", "out", "--key", Signer("other", bytes(32)).public.text)
    assert code == 1, text
    assert (await running.cli("audit", "verify", "nothing", "--key", keys.split()[0]))[0] == 2
    out = folder / "out"
    (path,) = (out / "facts").glob("*.ndjson.gz")
    whole = path.read_bytes()
    lines = gzip.decompress(whole).split(b"\n")
    victim = next(number for number, line in enumerate(lines) if b'"noop"' in line)
    evil = lines[victim].replace(b'"noop"', b'"evil"')
    for changed, expected in (
        ([*lines[:victim], evil, *lines[victim + 1 :]], [("changed", victim + 1)]),  # by the hashes of the facts
        ([*lines[:3], *lines[4:]], [("lost", 4)]),
        ([lines[0], lines[2], lines[1], *lines[3:]], [("reordered", 3)]),
        ([*lines[:3], lines[2], *lines[3:]], [("inserted", 3)]),
    ):
        _replace(out, path, gzip.compress(b"\n".join(changed)))
        code, text = await running.cli(*verify)
        found = [(one["kind"], one["sequence"]) for one in json.loads(text)["findings"]]
        assert (code, sorted(found)) == (1, sorted([("signature", 0), *expected])), (expected, text)
    for place in range(0, len(whole), len(whole) // 3):
        broken = bytearray(whole)
        broken[place] ^= 4
        path.write_bytes(broken)
        code, text = await running.cli(*verify)
        assert code == 1, (place, text)


async def _unproven(running: Running, out: Path, key: str) -> None:
    """Without the signature only facts are proven, and that is said; a removed signature is named."""
    note, manifest = (out / "manifest.note").read_bytes(), (out / "manifest.json").read_bytes()
    (out / "manifest.note").unlink()
    code, text = await running.cli("audit", "verify", "out", "--key", key)
    assert (code, "manifest.note, the signature of the manifest, is gone" in text) == (1, True), text
    (out / "manifest.json").write_bytes(manifest.replace(b'"manifest.note"', b'""'))
    code, text = await running.cli("audit", "verify", "out", "--key", key)
    assert (code, "not covered: signals" in text) == (0, True), text
    assert (await running.cli("audit", "verify", "out", "--key", key, "--signed"))[0] == 1
    (out / "manifest.note").write_bytes(note)
    (out / "manifest.json").write_bytes(manifest)
    code, text = await running.cli("audit", "verify", "out", "--key", key, "--signed")
    assert (code, "is signed by" in text) == (0, True), text


def _replace(out: Path, path: Path, content: bytes) -> None:
    """Forge a segment, and the manifest with it."""
    path.write_bytes(content)
    manifest = json.loads((out / "manifest.json").read_text())
    (segment,) = manifest["streams"]["FACTS"]["segments"]
    segment |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (out / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.slow
async def test_a_damaged_ledger_is_refused(folder: Path) -> None:
    data = folder / "damaged"
    async with Stack(data) as stack, httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=20) as http:
        for number in range(5):
            await http.post("/v1/runs", json={"workload": "noop", "params": {"echo": number}})
        assert (await http.post("/v1/ledger/checkpoints")).status_code == 201
    (path,) = data.rglob("FACTS/msgs/1.blk")
    block = bytearray(path.read_bytes())
    block[records(bytes(block))[2].places(bytes(block))["payload"]] ^= 1
    path.write_bytes(block)
    async with Stack(data) as stack, httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=20) as http:
        async with asyncio.timeout(90):
            while (state := (await http.get("/v1/ledger")).json()["ledger"])["state"] == "verifying":
                await asyncio.sleep(0.1)
        assert (state["state"], state["findings"][0]["sequence"]) == ("damaged", 3)
        for method, url in (
            ("GET", "/v1/runs"), ("POST", "/v1/runs"), ("GET", "/v1/events"), ("POST", "/v1/sql"), ("GET", "/v1/files"),
        ):  # fmt: skip
            reply = await http.request(method, url, json={} if method == "POST" else None)
            assert (reply.status_code, reply.json()["code"]) == (503, "ledger_damaged"), url
        reply = await http.get("/marketplace/api/v1/experiments")
        assert reply.status_code == 503
        assert "3" in reply.text
        health = await http.get("/health")
        assert (health.status_code, health.json()["services"]["ledger"]) == (503, "unhealthy")
        assert "lost 3" in health.json()["detail"]
        assert (await http.get("/docs")).status_code == 200
        assert (await http.post("/v1/ledger/checkpoints")).json()["code"] == "ledger_damaged"
        async with asyncio.timeout(90):
            while "no more runs are taken" not in stack.logs():  # the runner hears of it on its own way
                await asyncio.sleep(0.1)
        code, text = await Running(stack, folder).cli("doctor")
        assert "does not hold what was written" in text, text
        assert code == 1
