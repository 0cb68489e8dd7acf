"""`trialbook llm-mock` and the rules in files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from trialbook.errors import Invalid
from trialbook.testing.llm import Asked, Rule, Script, load_rules

RULES = [
    {"match": "weather", "reply": "Sunny.", "times": 1},
    {"match": "busy", "fault": {"kind": "status", "status": 429, "retry_after_s": 3}},
    {"match": "object", "reply": {"a": 1}},
]


@contextmanager
def mock(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command as a process of its own, and its address."""
    command = [sys.executable, "-m", "trialbook_deploy", "llm-mock", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield line.split()[2].rstrip("."), process
        finally:
            if process.poll() is None:
                process.kill()


def ask(url: str, text: str) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def test_the_command_serves_the_rules_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    with mock("--rules", str(file)) as (url, process):
        assert ask(url, "What weather?").json()["choices"][0]["message"]["content"] == "Sunny."
        busy = ask(url, "busy?")
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "3")
        assert ask(url, "What weather?").status_code == 400
        assert httpx.get(f"{url}/v1/models", timeout=60).json()["data"][0]["id"] == "scripted"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout is not None
        assert "3 requests were answered." in process.stdout.read()


def test_the_command_plays_the_marketplace() -> None:
    with mock("--marketplace", "cheapest") as (url, _):
        prompt = 'They have the following request: One "Taco".\n\nYour agent ID is: "c1"\n\n# Action Trajectory'
        decision = json.loads(ask(url, prompt).json()["choices"][0]["message"]["content"])
    assert (decision["action_type"], decision["search_query"]) == ("search_businesses", 'One "Taco".')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give --rules FILE or --marketplace POLICY."),
        (("--marketplace", "optimal"), "Cannot play 'optimal'"),
        (("--rules", "none.json"), "none.json"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    command = [sys.executable, "-m", "trialbook_deploy", "llm-mock", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text",
    ["{}", "[1]", '[{"fault": {"kind": "earthquake"}}]', '[{"match": "("}]', '[{"answer": "x"}]', "no json",
     '[{"times": 0}]', '[{"fault": {"kind": "status", "status": 200}}]'],
)  # fmt: skip
def test_rules_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text)
    with pytest.raises(Invalid) as caught:
        load_rules(file)
    assert caught.value.code == "invalid_rules"


def test_the_first_rule_that_takes_a_request_answers_it() -> None:
    asked = Asked(api="openai_chat", path="/", model="m", messages=[("user", "one\ntwo")])
    script = Script([Rule(match="three", reply="no"), Rule(match="one.two", reply="yes", times=1), Rule(reply="else")])
    assert [script.answer(asked).content for _ in range(3)] == ["yes", "else", "else"]
    assert Script([]).answer(asked).fault is not None


async def test_malformed_requests_get_an_answer() -> None:
    from trialbook.testing.llm import ScriptedServer

    async with ScriptedServer([Rule(reply="x")]) as server, httpx.AsyncClient(base_url=server.url) as client:
        for content in (b"", b"no json", b"[]", b"{}", b'{"messages": 5}', b'{"messages": [{"role": "user"}]}'):
            reply = await client.post("/v1/chat/completions", content=content)
            assert reply.status_code == 400
            assert "malformed request" in reply.json()["error"]["message"]
        assert (await client.post("/v1/nothing", json={})).status_code == 404
        assert (await client.get("/v1/chat/completions")).status_code == 404
    assert server.served == 0
