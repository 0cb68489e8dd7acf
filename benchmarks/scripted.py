"""The scripted model server in a process of its own, and the environment that makes services use it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.local import ROOT

START_S = 60.0
MODEL = "scripted"


@asynccontextmanager
async def scripted_server(*arguments: str) -> AsyncIterator[str]:
    """The url of ``trialbook llm-mock`` with these arguments."""
    command = [sys.executable, "-m", "trialbook_deploy", "llm-mock", *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None, "it is piped"
    try:
        async with asyncio.timeout(START_S):
            line = (await process.stdout.readline()).decode()
        if not line.startswith("Listening on "):
            raise RuntimeError(f"the scripted server did not start: {line.strip() or 'no output'}")
        yield line.split()[2].rstrip(".")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def environment(url: str) -> dict[str, str]:
    """The variables by which a process takes the server for OpenAI."""
    return {
        "LLM_PROVIDER": "openai", "LLM_MODEL": MODEL, "OPENAI_API_KEY": "sk-scripted", "OPENAI_BASE_URL": f"{url}/v1",
        "LLM_OPENAI_API": "chat",
    }  # fmt: skip
