"""Keys of the runner's environment reach neither programs nor, for its own secrets, workloads."""

from __future__ import annotations

import os
import sys
from typing import Any
from uuid import uuid4

import pytest

from tests.runner.conftest import Ledger
from trialbook_runner.execute.environment import for_programs, forget_the_runners

# Words of this process alone: other tests' processes may be looked at as well.
CANARIES = {
    "OPENAI_API_KEY": f"canary-openai-{uuid4()}", "AWS_SECRET_ACCESS_KEY": f"canary-aws-{uuid4()}",
    "TRIALBOOK_API_TOKENS": f"canary-tokens-{uuid4()}", "NATS_PASSWORD": f"canary-nats-{uuid4()}",
    "TRIALBOOK_LLM_PRICES_TOKEN": f"canary-own-{uuid4()}", "DATABASE_URL": f"canary-database-{uuid4()}",
}  # fmt: skip
LOOK = """
import glob, os
print(dict(os.environ))
seen = b""
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        seen += open(path, "rb").read()
    except OSError:
        pass
print([word for word in WORDS if word.encode() in seen], "of others")
"""


@pytest.mark.integration
async def test_a_command_sees_no_key(ledger: Ledger, start_runner: Any) -> None:
    await start_runner(**CANARIES, JAVA_HOME="/opt/java", SPARK_HOME="/opt/spark", TRIALBOOK_COMMAND_ENV="JAVA_*, X")
    looking = LOOK.replace("WORDS", repr([*CANARIES.values()]))
    run = await ledger.submit("command", {"argv": [sys.executable, "-c", looking], "env": {"GIVEN": "here"}})
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    lines = [record["message"] for record in await ledger.signals(run, "log")]
    assert lines[-1] == "[] of others"
    assert not [name for name in CANARIES if name in lines[0]]
    assert all(text in lines[0] for text in ("'JAVA_HOME': '/opt/java'", "'GIVEN': 'here'", "'PATH'"))
    assert "SPARK_HOME" not in lines[0]
    assert os.environ["PATH"] in lines[0]


@pytest.mark.integration
async def test_a_workload_sees_the_providers_keys_and_none_of_the_runners(ledger: Ledger, start_runner: Any) -> None:
    await start_runner(**CANARIES)
    run = await ledger.submit("environment")
    state = await ledger.end(run)
    assert state.status == "completed", state.error
    assert state.result["initial"] == ""
    known = state.result["known"]
    assert known["OPENAI_API_KEY"] == CANARIES["OPENAI_API_KEY"]
    assert not [name for name in known if name.startswith(("TRIALBOOK_", "NATS_"))]


def test_what_programs_get() -> None:
    env = {"PATH": "p", "LC_ALL": "C", "MY_KEY": "k", "MY_OTHER": "o", "TRIALBOOK_COMMAND_ENV": "MY_O*"}
    assert for_programs(env) == {"PATH": "p", "LC_ALL": "C", "MY_OTHER": "o"}
    assert for_programs({}) == {}


def test_what_workloads_lose() -> None:
    kept = {
        "OPENAI_API_KEY": "k",
        "TRIALBOOK_COMMAND_ENV": "X",
        "TRIALBOOK_RNR_ENCODER": "e",
        "TRIALBOOK_RNR_RERANKER": "r",
    }
    env = {"TRIALBOOK_NATS_URL": "u", "NATS_URL": "u", **kept}
    forget_the_runners(env)
    assert env == kept
