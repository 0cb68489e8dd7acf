"""An installation with personal data moves: with its keys and master key it is read as before, without them not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook.client import AsyncClient
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
