"""An installation with personal data moves: with its keys and master key it is read as before, without them not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook.client import AsyncClient
from trialbook.errors import Unavailable
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
    async with Stack(there) as stack, AsyncClient(stack.url, patience_s=1) as client:  # another master key, no keys
        assert (await client.runs.get(ended.id)).title == "(sealed)"
        for run in queued:
            with pytest.raises(Unavailable) as refused:
                await client.runs.cancel(run.id)
            assert refused.value.code == "data_key_missing"
        other = await client.runs.submit("noop", {"echo": 1})
        assert (await client.runs.wait(other.id)).status == "completed"
        assert [(await client.runs.get(run.id)).status for run in queued] == ["queued", "queued"]
        assert "Traceback" not in stack.logs()
