"""A living installation for the tests: a stack with runs of all kinds, what it answers, and the command line."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from trialbook.log.bulk import read_stream
from trialbook.log.connect import connect
from trialbook.streams import CHECKPOINTS, FACTS, SIGNALS
from trialbook_deploy.stack import Stack

SUBJECTS = {FACTS: "fact.>", SIGNALS: "signal.>", CHECKPOINTS: "checkpoint.>"}
TALKING = """
for n in range(20):
    print("line", n)
print('::trialbook metric {"name": "m", "value": 1}')
"""
FAILING = "import sys; print('no'); sys.exit(3)"


async def command(*arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """`trialbook ...`; its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "trialbook_deploy", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | (env or {}),
    )  # fmt: skip
    out, error = await process.communicate()
    assert process.returncode == code, (out + error).decode()
    return (out + error).decode()


async def outcome(*arguments: str) -> int:
    """`trialbook ...` that may fail; its exit code. It ends with the task that waits for it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "trialbook_deploy", *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(http: httpx.AsyncClient, run: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            found: dict[str, Any] = (await http.get(f"/v1/runs/{run}")).json()
            if found.get("status") in (statuses or ("completed", "failed", "cancelled")):
                return found
            await asyncio.sleep(0.05)


async def got(http: httpx.AsyncClient, path: str) -> bytes:
    """What is read there, once the projector is back."""
    async with asyncio.timeout(90):
        while (reply := await http.get(path)).status_code == 503:
            await asyncio.sleep(0.1)
    assert reply.status_code == 200, (path, reply.text)
    return reply.content


async def submit(http: httpx.AsyncClient, workload: str, key: str = "", **more: Any) -> str:
    headers = {"Idempotency-Key": key} if key else {}
    reply = await http.post("/v1/runs", json={"workload": workload, **more}, headers=headers)
    assert reply.status_code in (200, 201, 202), reply.text
    return str(reply.json()["id"])


async def begun(http: httpx.AsyncClient) -> None:
    """Until the first session has its own datasets: they are made in the background after the start."""
    async with asyncio.timeout(90):
        while not (await http.get("/algomancy/api/v1/sessions/main/scenarios")).json():
            await asyncio.sleep(0.1)


async def fill(http: httpx.AsyncClient) -> list[str]:
    """Runs that completed, failed, were retried, cancelled and deleted, with names, keys, logs, metrics and files."""
    await begun(http)
    runs = [await submit(http, "noop", key=f"key-{n}", labels={"n": str(n)}) for n in range(5)]
    runs.append(await submit(http, "command", params={"argv": [sys.executable, "-c", TALKING]}, name="talking"))
    runs.append(await submit(http, "command", params={"argv": [sys.executable, "-c", FAILING]}))
    for run in runs:
        await ended(http, run)
    assert (await http.post(f"/v1/runs/{runs[-1]}/retry")).status_code < 300
    await ended(http, runs[-1], "failed")
    await http.post("/v1/datasets", json={"name": "numbers"})
    await http.post("/v1/files", files={"file": ("a.txt", b"some bytes" * 1000)})
    gone = await submit(http, "noop")
    await ended(http, gone)
    assert (await http.delete(f"/v1/runs/{gone}")).status_code == 204
    return runs


async def poison(stack: Stack) -> None:
    """A fact that nobody can read."""
    nc = await connect(stack.nats_url, name="poison")
    await nc.jetstream().publish("fact.main.run.x.exploded", b"\x00 not JSON\n")
    await nc.close()


async def answers(http: httpx.AsyncClient, runs: list[str], last: int) -> dict[str, bytes]:
    """Every read of the API about the runs, byte for byte."""
    paths = ["/v1/runs?limit=100", "/v1/events?limit=1000", f"/v1/runs?limit=100&as_of={last}"]
    for run in runs:
        facts = (await http.get(f"/v1/runs/{run}/facts")).json()["items"]
        assert facts
        paths += [f"/v1/runs/{run}{rest}" for rest in ("", "/facts", "/logs", "/metrics", "/artifacts", "/children")]
        paths += [f"/v1/runs/{run}?as_of={fact['sequence']}" for fact in facts]
        times = [fact["event"]["time"] for fact in facts]
        paths += [f"/v1/runs/{run}?as_of={time}" for time in times] + [f"/v1/events?as_of={times[-1]}&limit=1000"]
        paths += [f"/v1/runs?as_of={times[0]}&limit=100", f"/v1/audit/trail/{run}"]
    found: dict[str, bytes] = {}
    for path in paths:
        reply = await http.get(path)
        assert reply.status_code == 200, (path, reply.text)
        found[path] = reply.content
    return found


async def messages(url: str, stream: str) -> list[tuple[int, str, bytes, bytes]]:
    """A stream's messages: sequence, subject, payload, raw headers but for those of expectations and batches."""
    return [
        (m.sequence, m.subject, m.data, _id(m.headers))
        async for batch in read_stream(url, stream, [SUBJECTS[stream]], 0, headers=True)
        for m in batch
    ]


def _id(headers: bytes) -> bytes:
    lines = [line for line in headers.split(b"\r\n") if line.startswith(b"Nats-Msg-Id:")]
    return lines[0].removeprefix(b"Nats-Msg-Id:").strip() if lines else b""


async def check(stack: Stack) -> dict[str, Any]:
    """`trialbook rebuild --check`."""
    text = await command("rebuild", "--check", "--json", "--data-dir", str(stack.data_dir))
    report: dict[str, Any] = json.loads(text)
    assert report["identical"], report
    return report


def hashes(report: dict[str, Any]) -> dict[str, Any]:
    return {name: one["rebuilt"] for name, one in report["tables"].items()}


@contextlib.asynccontextmanager
async def running(data_dir: Path, runners: int = 1, **env: str) -> Any:
    """A stack and a client for it."""
    async with (
        Stack(data_dir, runners=runners, env=env) as stack,
        httpx.AsyncClient(base_url=stack.url, timeout=30) as http,
    ):
        yield stack, http
