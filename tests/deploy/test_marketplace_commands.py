"""`trialbook marketplace ...` as a user types it, on a real stack."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.client.standing import standing
from trialbook.client import AsyncClient
from trialbook.client.problems import refusal_of
from trialbook.errors import Invalid
from trialbook_deploy.commands.marketplace_orders import archived, settings_of
from trialbook_deploy.commands.which import run_id
from trialbook_deploy.stack import Stack
from trialbook_marketplace.datasets import bundled_root

DATASET = bundled_root() / "mexican_3_9"
RULES = ("--customer-policy", "cheapest", "--business-policy", "rule_based", "--quiet")
pytestmark = pytest.mark.integration


class Shell:
    """`trialbook marketplace ...` in a folder, with the data directory of one stack."""

    def __init__(self, data_dir: Path, cwd: Path) -> None:
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("TRIALBOOK_", "OPENAI", "LLM_"))}
        self.env |= {"TERM": "dumb", "TRIALBOOK_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"}
        self.cwd = cwd

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "trialbook_deploy", "marketplace", *arguments]
        return subprocess.Popen(
            command, env=self.env, cwd=self.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        process = self.popen(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, code, out, err)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with standing(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Shell:
    return Shell(stack.data_dir, tmp_path)


@pytest.fixture(scope="module")
def first(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An experiment with the command line's defaults that has completed."""
    shell = Shell(stack.data_dir, tmp_path_factory.mktemp("first"))
    done = shell("run", "mexican_3_9", "--experiment-name", "first", *RULES)
    assert "completed in " in done.stdout
    assert "customers who bought" in done.stdout
    assert "/marketplace/api/experiments/first/dashboard" in done.stderr
    return "first"


def test_the_defaults_are_the_command_lines(stack: Stack, first: str) -> None:
    with urllib.request.urlopen(f"{stack.url}/marketplace/api/experiments/{first}/runs") as reply:
        params = json.load(reply)[0]["parameters"]
    asked = {name: params[name] for name in ("search_algorithm", "search_bandwidth", "customer_max_steps")}
    assert asked == {"search_algorithm": "lexical", "search_bandwidth": 10, "customer_max_steps": 100}


def test_a_folder_is_uploaded_once_followed_and_exported(shell: Shell, stack: Stack) -> None:
    shutil.copytree(DATASET, shell.cwd / "mine")
    options = ("--export", "--export-dir", "out/deep", "--export-filename", "history.db", "--json")
    done = json.loads(shell("run", "mine", "--experiment-name", "own", *RULES, *options).stdout)
    assert (done["name"], done["status"], done["error"]) == ("own", "completed", None)
    assert done["analytics"]["total_customers"] == 3
    with sqlite3.connect(shell.cwd / "out" / "deep" / "history.db") as database:
        assert database.execute("SELECT count(*) FROM agents").fetchone() == (12,)
    again = json.loads(shell("run", "./mine", *RULES, "--json").stdout)
    assert again["analytics"] == done["analytics"]
    with urllib.request.urlopen(f"{stack.url}/api/datasets") as reply:
        names = [one["name"] for one in json.load(reply)]
    assert len([name for name in names if name.startswith("mine-")]) == 1


def test_a_name_is_taken_over_only_when_asked(shell: Shell, stack: Stack, first: str) -> None:
    refused = shell("run", "mexican_3_9", "--experiment-name", first, *RULES, code=2)
    assert "first" in refused.stderr
    shell("run", "mexican_3_9", "--experiment-name", "again", *RULES)
    shell("run", "mexican_3_9", "--experiment-name", "again", "--override-db", *RULES)
    with urllib.request.urlopen(f"{stack.url}/marketplace/api/experiments/again/runs") as reply:
        holders = [one["id"] for one in json.load(reply) if one["current"]]

    async def meant() -> str:
        async with AsyncClient(stack.url) as client:
            return await run_id(client, "again")

    assert [asyncio.run(meant())] == holders, "a run's name means the run that has it now"


def test_live_lines_and_ctrl_c(shell: Shell) -> None:
    running = shell.popen("run", "mexican_33_99", "--experiment-name", "live", *RULES[:-1])
    assert running.stdout is not None
    assert "registered" in "".join(running.stdout.readline() for _ in range(5)).lower()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode in (130, 0)
    assert running.returncode == 0 or "experiment live goes on" in err


def test_an_analysis_is_shown_and_saved(shell: Shell, first: str) -> None:
    shown = shell("analyze", first)
    assert "share of the best possible" in shown.stdout
    assert "customer_0001" in shown.stdout
    saved = json.loads((shell.cwd / f"{first}_analytics.json").read_bytes())
    assert saved["total_customers"] == 3
    (shell.cwd / f"{first}_analytics.json").unlink()
    printed = shell("analyze", first, "--json", "--no-save-json", "--fuzzy-match-distance", "2")
    assert json.loads(printed.stdout)["baselines"] == saved["baselines"]
    assert not list(shell.cwd.iterdir())
    shell("analyze", first, "--fuzzy-match-distance", "21", code=2)


def test_an_audit_says_what_was_not_seen(shell: Shell, first: str) -> None:
    found = json.loads(shell("audit", first, "--json", code=1).stdout)
    assert found["missing"] == found["total_proposals"] > 0, "rules ask no model, so nothing was seen"
    shown = shell("audit", first, code=1).stdout
    assert "customers asked no model" in shown


def test_traces_are_files(shell: Shell, first: str) -> None:
    assert "documents in first_traces" in shell("extract-traces", first).stdout
    assert (shell.cwd / "first_traces/customers/customer_0001.md").read_text().startswith("# ")
    assert list((shell.cwd / "first_traces/conversations").glob("*.md"))
    shell("extract-traces", first, "--output", "elsewhere")
    assert (shell.cwd / "elsewhere/customers").is_dir()


@pytest.mark.parametrize(("form", "name"), [("sqlite", "first.db"), ("parquet", "first.parquet.zip")])
def test_histories_are_exported(shell: Shell, first: str, form: str, name: str) -> None:
    shown = shell("export", first, "--format", form).stdout
    path = shell.cwd / name
    assert shown == f"{name}: {path.stat().st_size:,} bytes\n"
    if form == "parquet":
        assert zipfile.is_zipfile(path)
    else:
        assert path.read_bytes().startswith(b"SQLite format 3\0")
    assert [entry.name for entry in shell.cwd.iterdir()] == [name]
    assert "none of" in shell("export", first, "--format", "csv", code=2).stderr
    assert "cannot be written" in shell("export", first, "-o", "no/such/folder.db", code=1).stderr


def test_experiments_are_listed(shell: Shell, first: str) -> None:
    table = shell("list-experiments").stdout.splitlines()
    assert table[0].split()[0] == "name"
    assert any(line.startswith(f"{first} ") for line in table)
    listed = json.loads(shell("list-experiments", "--limit", "1", "--json").stdout)
    assert len(listed) == 1
    assert listed[0]["agents_count"] > 0


def test_the_page_is_reached_through_a_port_of_its_own(shell: Shell, stack: Stack, first: str) -> None:
    address = f"{stack.url}/marketplace/api/experiments/{first}/dashboard"
    assert shell("ui", first, "--print-only").stdout == address + "\n"
    serving = shell.popen("ui", first, "--port", "0")
    assert serving.stdout is not None
    assert serving.stdout.readline() == address + "\n"
    local = serving.stdout.readline().split()[0]
    with urllib.request.urlopen(local) as page:
        assert page.url == address
        assert first.encode() in page.read() or page.status == 200
    busy = shell("ui", first, "--port", local.rpartition(":")[2], code=1)
    assert "cannot be used" in busy.stderr
    serving.send_signal(signal.SIGINT)
    assert serving.wait(60) in (0, 130)


def test_the_api_is_the_stacks(shell: Shell, stack: Stack, tmp_path: Path) -> None:
    assert stack.url in shell("api").stdout
    shell.env["TRIALBOOK_DATA_DIR"] = str(tmp_path / "other")
    assert "TRIALBOOK_API_TOKENS" in shell("api", code=1).stderr, "its default address is open to others"
    shell("api", "--log-level", "loud", code=2)


@pytest.mark.slow
def test_the_api_starts_a_stack(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data", tmp_path)
    serving = shell.popen("api", "--api-host", "127.0.0.1", "--api-port", "0")
    assert serving.stdout is not None
    try:
        found = next(line for line in serving.stdout if "http://127.0.0.1:" in line)
        url = "http://127.0.0.1:" + found.partition("http://127.0.0.1:")[2].split("/")[0].split()[0]
        with urllib.request.urlopen(f"{url}/api/settings") as reply:
            assert json.load(reply)["default_search_algorithm"] == "simple"
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=60)


def test_what_is_wrong_is_said(shell: Shell, stack: Stack) -> None:
    assert "nothing_there" in shell("analyze", "nothing_there", code=1).stderr
    assert "is no folder" in shell("run", "./nowhere", code=2).stderr
    (shell.cwd / "empty").mkdir()
    assert "needs folders customers and businesses" in shell("run", "empty", code=2).stderr
    assert "nowhere" in shell("run", "nowhere", code=2).stderr
    assert "algorithm" in shell("run", "mexican_3_9", "--search-algorithm", "best", code=2).stderr
    assert "plain file name" in shell("run", "mexican_3_9", "--export-filename", "a/b", code=2).stderr
    shutil.copytree(DATASET, shell.cwd / "bad")
    (shell.cwd / "bad/customers/customer_0001.yaml").write_text("id: [")
    assert "customer_0001" in shell("run", "bad", code=2).stderr
    with pytest.raises(HTTPError):
        urllib.request.urlopen(f"{stack.url}/api/experiments/bad/status")


def test_an_order_takes_settings_and_no_key_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "env"
    path.write_text(
        "# settings\nexport LLM_PROVIDER=openai\nLLM_MODEL='gpt-x' \nAME_MODEL=other\nLLM_TEMPERATURE=0.5 # low\n"
        "LLM_MAX_TOKENS=\nREASONING_EFFORT=high\nOPENAI_API_KEY=sk-canary-1234\n"
    )
    assert settings_of(path) == {
        "llm_provider": "openai", "llm_model": "gpt-x", "llm_temperature": 0.5, "llm_reasoning_effort": "high",
    }  # fmt: skip
    said = capsys.readouterr().err
    assert "OPENAI_API_KEY" in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"detail": "Dataset not found: x"}', "Dataset not found: x"),
        (b'{"detail": [{"loc": ["body", "seed"], "msg": "no number"}, {"msg": "odd"}]}', "body.seed: no number; odd"),
        (b'{"detail": ["plain"]}', "plain"),
        (b"<html>", "The server answered 422 without a problem document: <html>"),
    ],
)
def test_refusals_without_codes_are_told(body: bytes, told: str) -> None:
    refusal = refusal_of(422, {}, body)
    assert (type(refusal), refusal.code, refusal.detail) == (Invalid, "http_422", told)


def test_a_folders_name_tells_its_content(tmp_path: Path) -> None:
    folder = shutil.copytree(DATASET, tmp_path / "mine")
    one = archived(str(folder))
    assert one is not None
    assert one.name.startswith("mine-")
    (folder / "customers/customer_0001.yaml").write_text("other: 1")
    other = archived(str(folder))
    assert other is not None
    assert other.name != one.name
    assert archived("mexican_3_9") is None
