"""The commands that talk to a running stack, as a user types them."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.client.standing import standing
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
SLOW = "import time\nfor i in range(5000):\n    print('line', i, flush=True)\n    time.sleep(0.01)"


class Shell:
    """`trialbook ...` with the data directory of one stack."""

    def __init__(self, data_dir: Path) -> None:
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("TRIALBOOK_")} | {"TERM": "dumb"}
        self.env["TRIALBOOK_DATA_DIR"] = str(data_dir)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "trialbook_deploy", *arguments]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *arguments: str, code: int = 0, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "trialbook_deploy", *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, input=given)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with standing(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture
def shell(stack: Stack) -> Shell:
    return Shell(stack.data_dir)


def test_a_run_is_followed_to_its_verdict(shell: Shell) -> None:
    done = shell("run", "command", "-p", 'argv=["sh", "-c", "echo one; echo two >&2"]', "--name", "cli_first")
    assert "one\n" in done.stdout
    assert "two\n" in done.stdout
    assert "completed in " in done.stdout
    assert "command queued" in done.stderr
    assert [line.split("  ")[-1] for line in shell("logs", "cli_first").stdout.splitlines()] == ["one", "two"]
    listed = shell("runs", "--search", "cli_first").stdout.splitlines()
    assert listed[0].split() == ["id", "status", "workload", "name", "progress", "created", "took"]
    assert listed[1].split()[1:4] == ["completed", "command", "cli_first"]


def test_exit_codes_are_verdicts(shell: Shell) -> None:
    failed = shell("run", "command", "-p", 'argv=["false"]', code=1)
    assert "exit_code" in failed.stderr
    refused = shell("run", "noop", "-p", "wrong=1", "-p", "sleep_ms=-1", code=2)
    assert "/params/sleep_ms: " in refused.stderr
    assert "Known: " in shell("run", "no-such", code=2).stderr
    assert "key=value" in shell("run", "noop", "-p", "x", code=2).stderr
    assert "none of" in shell("run", "noop", "--priority", "urgent", code=2).stderr
    assert "Which workload" in shell("run", code=2).stderr
    shell("run", "noop", "--nonsense", code=2)


def test_cancelling_a_followed_run(shell: Shell) -> None:
    running = shell.popen("run", "command", "-p", f"argv={json.dumps(['python3', '-c', SLOW])}", "--name", "cli_slow")
    assert running.stdout is not None
    assert "line" in running.stdout.readline()
    assert "asked to end" in shell("cancel", "cli_slow", "--reason", "enough").stdout
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 3
    assert "cancelled in " in out
    assert "reason: enough" in out
    ended = shell("run", "noop", "--detach").stdout.strip()
    shell("logs", "-f", ended)
    assert "completed" in shell("cancel", ended, code=1).stderr


def test_ctrl_c_leaves_the_run_alone(shell: Shell) -> None:
    running = shell.popen("run", "command", "-p", f"argv={json.dumps(['python3', '-c', SLOW])}", "--name", "cli_left")
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "goes on" in err
    assert "Traceback" not in err
    assert json.loads(shell("runs", "--search", "cli_left", "--json").stdout)["items"][0]["status"] == "running"
    assert shell("cancel", "cli_left", "--wait").stdout.split()[1] == "cancelled"


def test_following_logs_starts_with_the_newest_and_ends_with_the_run(shell: Shell, stack: Stack) -> None:
    source = SLOW.replace("5000", "150")
    run = shell("run", "command", "-p", f"argv={json.dumps(['python3', '-c', source])}", "--detach").stdout.strip()
    logs = f"{stack.url}/v1/runs/{run}/logs"
    while len(httpx.get(logs, timeout=30, trust_env=False).json()["items"]) < 10:
        time.sleep(0.05)
    lines = shell("logs", "-f", run, "-n", "5", "--json").stdout.splitlines()
    numbers = [int(json.loads(line)["message"].split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 150))
    assert 5 <= len(numbers) < 150
    assert len(shell("logs", run, "--all").stdout.splitlines()) == 150
    assert shell("logs", run, "--contains", "line 149", "--logger", "stdout").stdout.endswith("line 149\n")
    assert shell("logs", run, "--level", "error").stdout == ""
    shell("logs", "no-such-run", code=1)


def test_parameters_from_files_and_arguments(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"echo": {"a": 1, "b": 2}, "sleep_ms": 1}')
    done = shell(
        "run", "noop", "--params-file", str(tmp_path / "a.json"), "-p", "echo.b=text", "-p", "echo.c=[1,null]", "--json"
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["kind"] == "run"
    assert last["item"]["result"] == {"a": 1, "b": "text", "c": [1, None]}
    piped = shell("run", "noop", "--params-file", "-", "--detach", "--json", given='{"echo": 5}')
    assert json.loads(piped.stdout)["params"] == {"echo": 5}
    (tmp_path / "b.json").write_text("[1]")
    assert "not a JSON object" in shell("run", "noop", "--params-file", str(tmp_path / "b.json"), code=2).stderr
    assert "No such file" in shell("run", "noop", "--params-file", str(tmp_path / "no.json"), code=2).stderr


def test_inputs_and_sweeps(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("input text")
    view = shell("run", "noop", "--input", f"text={tmp_path / 'data.txt'}", "--detach", "--json")
    assert set(json.loads(view.stdout)["inputs"]) == {"text"}
    swept = shell("run", "noop", "--sweep", "echo=[1, 2]", "--sweep", "sleep_ms=[0, 1]", "--json")
    assert json.loads(swept.stdout.splitlines()[-1])["item"]["result"]["counts"] == {"completed": 4}
    assert "JSON list" in shell("run", "noop", "--sweep", "echo=1", code=2).stderr


def test_sql_in_every_form(shell: Shell, tmp_path: Path) -> None:
    statement = "SELECT 1 AS n, 'a,b' AS t, NULL AS nothing, [1, 2] AS list"
    assert shell("sql", statement).stdout.splitlines()[1].split() == ["1", "a,b", "-", "[1,2]"]
    assert shell("sql", "--csv", statement).stdout == 'n,t,nothing,list\n1,"a,b",,"[1,2]"\n'
    assert json.loads(shell("sql", "--json", statement).stdout)["rows"] == [
        {"n": 1, "t": "a,b", "nothing": None, "list": [1, 2]}
    ]
    assert "42" in shell("sql", given="SELECT 40 + 2").stdout
    assert "7" in shell("sql", "SELECT ? + ?", "-p", "3", "-p", "4").stdout
    shell("sql", "SELECT 1 AS n", "--output", str(tmp_path / "x.parquet"))
    assert (tmp_path / "x.parquet").read_bytes()[:4] == b"PAR1"
    cut = shell("sql", "SELECT * FROM range(10)", "-n", "3")
    assert len(cut.stdout.splitlines()) == 4
    assert "cut after 3 rows" in cut.stderr
    assert "SELECT" in shell("sql", "DROP TABLE runs", code=2).stderr
    assert "nowhere" in shell("sql", "SELECT * FROM nowhere", code=2).stderr
    shell("sql", "--json", "--csv", "SELECT 1", code=2)
    shell("sql", "SELECT 1", "-o", "x.txt", code=2)


def test_events_past_and_live(shell: Shell) -> None:
    following = shell.popen("events", "-f", "--type", "run.submitted.v1", "--json", "-n", "0")
    assert following.stdout is not None
    runs = []
    while not select.select([following.stdout], [], [], 0)[0]:  # what happened before it listened is none of its
        runs.append(shell("run", "noop", "--detach").stdout.strip())
    fact = json.loads(following.stdout.readline())
    assert fact["event"]["subject"] in [f"main/run/{run}" for run in runs]
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=60)
    assert (following.returncode, err) == (130, "")
    for run in runs:
        shell("logs", "-f", run)  # to its end
    newest = shell("events", "-n", "2").stdout.splitlines()
    assert len(newest) == 2
    assert newest[1].split()[2] == "run.completed.v1"
    assert [line.split()[2] for line in shell("events", "--run", run).stdout.splitlines()] == [
        "run.submitted.v1", "run.completed.v1",
    ]  # fmt: skip
    after = shell("events", "--after", str(fact["sequence"]), "--all", "--json").stdout.splitlines()
    assert json.loads(after[0])["sequence"] == fact["sequence"] + 1
    assert len(shell("events", "--after", "0", "-n", "3").stdout.splitlines()) == 3


def test_what_strangers_write_cannot_command_the_terminal(shell: Shell) -> None:
    code = r"print('\x1b[31mred\x1b]0;title\x07 \x9b2J \u202egpj [bold]plain[/bold]')"
    followed = shell(
        "run", "command", "--title", "evil\x1b[2J", "-p", f"argv={json.dumps([sys.executable, '-c', code])}"
    )
    listed, queried = shell("runs"), shell("sql", "SELECT message FROM logs")
    for output in (followed.stdout, listed.stdout, queried.stdout):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(output)
    assert r"\x1b[31mred" in followed.stdout
    assert "[bold]plain[/bold]" in followed.stdout
    assert r"evil\x1b[2J" in listed.stdout


def test_ids_are_whole_on_a_narrow_terminal(shell: Shell) -> None:
    run = shell("run", "noop", "--detach").stdout.strip()
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "trialbook_deploy", "runs"]
    env = shell.env | {"COLUMNS": "80"}
    with subprocess.Popen(command, env=env, stdout=secondary, stderr=subprocess.DEVNULL) as listing:
        os.close(secondary)
        shown = b""
        try:
            while chunk := os.read(primary, 65536):
                shown += chunk
        except OSError:  # the end of a terminal
            pass
        assert listing.wait(60) == 0
    os.close(primary)
    assert run in shown.decode()


def test_a_closed_pipe_is_no_error(shell: Shell) -> None:
    command = f"{sys.executable} -m trialbook_deploy events --after 0 --all --json | head -1"
    done = subprocess.run(command, shell=True, env=shell.env, capture_output=True, text=True, timeout=60)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_rebuild_is_identical(shell: Shell) -> None:
    shell("run", "noop")
    checked = json.loads(shell("rebuild", "--check", "--json").stdout)
    assert (checked["identical"], checked["swapped"]) == (True, False)
    swapped = shell("rebuild")
    assert "identical; the new tables are in use" in swapped.stdout
    shell("run", "noop")


def test_the_doctor_finds_nothing_to_complain_of(shell: Shell, stack: Stack) -> None:
    found = {one["check"]: one for one in json.loads(shell("doctor", "--json").stdout)["findings"]}
    for check in (
        "nats version",
        "durability",
        "stream FACTS",
        "stream SIGNALS",
        "projector",
        "projector lag",
        "gateway",
    ):
        assert found[check]["level"] == "ok", found[check]
    assert "runner runner-1" in found
    assert "is ready" in shell("doctor").stdout
    elsewhere = shell("doctor", "--url", "http://127.0.0.1:9", "--json", code=1)
    found = {one["check"]: one for one in json.loads(elsewhere.stdout)["findings"]}
    assert found["gateway"]["level"] == "fail"
    assert found["nats"]["level"] == "warn", "the server of this stack is not that gateway's"


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    lonely = Shell(tmp_path / "nothing")
    for arguments in (["runs"], ["run", "noop"], ["sql", "SELECT 1"], ["rebuild"], ["cancel", "x"], ["events"]):
        assert "trialbook up" in lonely(*arguments, code=1).stderr
    assert "no stack runs" in lonely("doctor").stdout
    assert "No answer from" in lonely("runs", "--url", "http://127.0.0.1:9", code=1).stderr
    assert "not the address" in lonely("runs", "--url", "nonsense", code=2).stderr


def test_on_a_terminal_there_is_a_progress_bar(shell: Shell, tmp_path: Path) -> None:
    report = (
        "print('::trialbook ' + json.dumps({'type': 'progress', 'done': i, 'total': 4, 'unit': 'laps'}), flush=True)"
    )
    passed = tmp_path / "the half was seen"
    wait = f"while i == 2 and not os.path.exists({str(passed)!r}): time.sleep(0.05)"
    source = f"import json, os, time\nfor i in range(1, 5):\n    print('lap', i)\n    {report}\n    {wait}"
    argv = [sys.executable, "-m", "trialbook_deploy", "run", "command", "-p"]
    argv.append(f"argv={json.dumps(['python3', '-c', source])}")
    child, terminal = pty.fork()
    if child == 0:
        os.execve(argv[0], argv, shell.env | {"TERM": "xterm-256color", "COLUMNS": "100"})
    seen = b""
    while True:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:  # the terminal is closed when its program has ended
            break
        if not chunk:
            break
        seen += chunk
        if b"50%" in seen:
            passed.touch()
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    text = seen.decode()
    assert all(f"lap {i}" in text for i in range(1, 5))
    assert "laps" in text
    assert "completed" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"


def test_the_demonstration(shell: Shell, stack: Stack) -> None:
    command = [sys.executable, "-m", "trialbook_deploy.demo"]
    env = shell.env | {"TRIALBOOK_URL": stack.url}
    shown = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "customer_0001  Payment of $" in shown.stdout
    table = [line.split() for line in shown.stdout.splitlines() if line.startswith("customer_000")]
    assert [(row[0], row[-1]) for row in table] == [(f"customer_000{n}", "yes") for n in (1, 2, 3)]
    assert "3 of 3 customers purchased, 3 with all needs met; welfare " in shown.stdout
    assert "% of the optimum" in shown.stdout
    curls = [line.strip() for line in shown.stdout.splitlines() if line.strip().startswith("curl")]
    assert len(curls) == 4
    for curl in curls:
        limited = curl.replace("curl ", "curl -sf --noproxy '*' ")
        tried = subprocess.run(limited, shell=True, env=shell.env, capture_output=True, text=True, timeout=60)
        assert tried.returncode == 0, f"{curl}\n{tried.stdout}"
    failed = subprocess.run(
        command, env=env | {"TRIALBOOK_URL": "nonsense"}, capture_output=True, text=True, timeout=60
    )
    assert failed.returncode == 1
    assert "The demonstration did not work" in failed.stdout
    assert failed.stderr == ""


def test_up_shows_the_demonstration_and_goes_on(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data")
    up = shell.popen("up", "--demo", "--port", "0")
    assert up.stdout is not None
    lines = []
    for line in up.stdout:
        lines.append(line)
        if "doctor" in line and "logs last" in line:
            break
    assert any("customers purchased" in line for line in lines), "".join(lines)
    assert shell("runs").stdout.splitlines()[1].split()[1] == "completed"
    up.terminate()
    up.communicate(timeout=60)
    assert up.returncode == 0
