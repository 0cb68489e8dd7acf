"""An installation with personal data moves: with its keys and master key it is read as before, without them not."""

import asyncio
import gzip
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ledger.living import begun
from trialbook.audit.signer import parse_public
from trialbook.client import AsyncClient
from trialbook.client.following import StatusView
from trialbook.errors import Unavailable
from trialbook.package.check import check
from trialbook_deploy.commands.package import ZipArchive
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SECRET = "Ada-Lovelace-17-Analytical-Street"


def cli(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "trialbook_deploy", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("with_keys", [True, False])
async def test_keys_go_with_an_export_when_they_are_asked_for(tmp_path: Path, with_keys: bool) -> None:
    here, there, files = tmp_path / "here", tmp_path / "there", tmp_path / "export"
    async with Stack(here) as stack, AsyncClient(stack.url, data_subject="participant-17") as client:
        run = await client.runs.submit("noop", {"echo": SECRET}, title=SECRET)
        await client.runs.wait(run.id)
        cli("export", str(files), "--data-dir", str(here), *(["--with-keys"] if with_keys else []))
        assert (files / "keys.ndjson").exists() == with_keys
    there.mkdir(mode=0o700)
    shutil.copy(here / "master.key", there / "master.key")
    cli("import", str(files), "--data-dir", str(there))
    async with Stack(there, runners=0) as stack, AsyncClient(stack.url) as client:
        view = await client.runs.get(run.id)
        assert view.status == "completed"
        assert view.title == (SECRET if with_keys else "(sealed)")


async def test_without_its_key_a_run_is_listed_and_nothing_is_done_with_it(tmp_path: Path) -> None:
    here, there, files = tmp_path / "here", tmp_path / "there", tmp_path / "export"
    waiting = {"argv": ["echo", SECRET]}
    async with Stack(here) as stack, AsyncClient(stack.url, data_subject="participant-17") as client:
        ended = await client.runs.submit("command", {"argv": ["false"]}, title=SECRET)
        await client.runs.wait(ended.id)
    async with Stack(here, runners=0) as stack, AsyncClient(stack.url, data_subject="participant-17") as client:
        queued = [await client.runs.submit("command", waiting), await client.runs.submit("noop", {"echo": SECRET})]
        cli("export", str(files), "--data-dir", str(here))
    cli("import", str(files), "--data-dir", str(there))
    async with Stack(there) as stack, AsyncClient(stack.url) as client:  # another master key, no keys
        assert (await client.runs.get(ended.id)).title == "(sealed)"
        for run in queued:
            async with AsyncClient(stack.url, patience_s=1) as hasty:
                with pytest.raises(Unavailable) as refused:
                    await hasty.runs.cancel(run.id)
            assert refused.value.code == "data_key_missing"
        other = await client.runs.submit("noop", {"echo": 1})
        assert (await client.runs.wait(other.id)).status == "completed"
        assert [(await client.runs.get(run.id)).status for run in queued] == ["queued", "queued"]
        assert "Traceback" not in stack.logs()


PROGRAM = f"mkdir out; echo {SECRET} > out/a.txt; echo {SECRET}"
ORDER = {"argv": ["sh", "-c", PROGRAM], "artifacts": ["out/*"]}


async def erased(client: AsyncClient, subject: str) -> None:
    begun = await client.erasures.erase(subject)
    async with asyncio.timeout(90):
        while (await client.erasures.get(begun.id)).status != "erased":
            await asyncio.sleep(0.05)


async def reads(client: AsyncClient, run: str) -> list[Any]:
    """What a reader sees of a run."""
    view = await client.runs.get(run)
    logs = [line.message for line in (await client.runs.logs(run)).items]
    metrics = (await client.runs.metrics(run)).items
    return [view.status, view.params, view.signal_sequence, logs, metrics]


async def test_after_an_erasure_an_installation_moves_and_every_read_goes_on(tmp_path: Path) -> None:
    here, there, files, key = tmp_path / "here", tmp_path / "there", tmp_path / "export", tmp_path / "key"
    package, again = tmp_path / "here.zip", tmp_path / "there.zip"
    async with Stack(here) as stack, AsyncClient(stack.url, data_subject="participant-17") as client:
        run = await client.runs.submit("command", ORDER)
        assert (await client.runs.wait(run.id)).status == "completed"
        await erased(client, "participant-17")
        before = await reads(client, run.id)
        assert before[3] == [], "what it said is gone"
        await client.runs.package(run.id, package)
        async with httpx.AsyncClient(base_url=stack.url, timeout=30) as http:
            await begun(http)  # what comes after the export would be missed there: the ledger's hashes go along
        key.write_text((await client.proofs.state())["ledger"]["key"])
        cli("export", str(files), "--data-dir", str(here))
    cli("import", str(files), "--data-dir", str(there))
    shutil.copytree(here / "ledger", there / "ledger")
    async with Stack(there) as stack, AsyncClient(stack.url) as client:
        assert await reads(client, run.id) == before
        updates = [update async for update in client.runs.follow(run.id)]
        assert isinstance(updates[-1], StatusView)
        assert updates[-1].final
        await the_tables_equal_the_ledger(there)
        await client.runs.package(run.id, again)
        next_ = await client.runs.submit("command", {"argv": ["echo", "more"]})
        await client.runs.wait(next_.id)
        assert (await reads(client, next_.id))[3] == ["more"]
    for one in (package, again):
        with zipfile.ZipFile(one) as archive:
            assert SECRET.encode() not in b"".join(archive.read(name) for name in archive.namelist())
        verdict = check(ZipArchive(one), [parse_public(key.read_text())])
        assert (verdict.faults, list(verdict.absent)) == ([], ["artifacts/out/a.txt"])
    cli("audit", "verify", str(files), "--key", str(key))
    assert SECRET.encode() not in contents(files)


async def the_tables_equal_the_ledger(data_dir: Path) -> None:
    """Once the tables have been written anew after the erasure."""
    command = [sys.executable, "-m", "trialbook_deploy", "rebuild", "--check", "--data-dir", str(data_dir)]
    async with asyncio.timeout(90):
        while True:
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
            if "A rebuild is running" not in done.stderr:
                break
    assert done.returncode == 0, done.stdout + done.stderr


def contents(folder: Path) -> bytes:
    """All bytes of an export, unpacked."""
    return b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    )  # fmt: skip
