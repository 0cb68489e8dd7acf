"""L1: model calls per second through the caller, 16 in parallel, against the scripted server in its own process.

A call is what a run's agents make: built, looked up, sent by the provider's client, counted, and recorded, here in
memory, so that the ledger does not limit it (L2 measures the ledger). ``sequential``: the same one after another.

The bare part: the same request with the provider's client alone, 16 in parallel. Further figures: ``sdk_sequential``;
``http`` and ``http_sequential``, the same body posted on kept connections, which is what the server can do.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from openai import AsyncOpenAI

from benchmarks.bare import rate
from benchmarks.load import connections
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.scripted import MODEL, environment, scripted_server
from trialbook.clock import SystemClock
from trialbook.llm import llm_settings
from trialbook_runner.llm import Caller, ChatMessage, MemoryEffects, Providers, load_prices
from trialbook_runner.llm import Options as CallOptions

TARGET = Target(key="L1", title="model calls, 16 in parallel", unit="calls/s", target=None, better="more")
PARALLEL = 16
PROMPT = "You are a customer of a market. Say what you want to buy next. " * 30
"""About 2 kB."""
RULES = [{"reply": "I would like one Taco and one Soup, please. " * 5}]
MAX_TOKENS = 2000


async def through_caller(url: str, workers: int, seconds: float) -> float:
    """Calls per second by so many agents of one run."""
    providers = Providers(llm_settings(environment(url)))
    caller = Caller(providers, MemoryEffects(), SystemClock(), prices=load_prices(), random=lambda: 0.0)

    async def call(worker: int) -> None:
        request = caller.request([ChatMessage("user", PROMPT)], CallOptions(max_tokens=MAX_TOKENS))
        await caller.complete(f"agent-{worker}", request)

    try:
        return await rate(call, workers, seconds)
    finally:
        await providers.close()


async def through_sdk(url: str, workers: int, seconds: float) -> float:
    """Calls per second with the client alone."""
    client = AsyncOpenAI(api_key="sk-scripted", base_url=f"{url}/v1", max_retries=0)

    async def call(_worker: int) -> None:
        await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": PROMPT}], max_tokens=MAX_TOKENS
        )

    async with client:
        return await rate(call, workers, seconds)


async def over_http(url: str, workers: int, seconds: float) -> float:
    """Posts per second with no client at all."""
    message = {"role": "user", "content": PROMPT}
    body = msgspec.json.encode({"model": MODEL, "messages": [message], "max_tokens": MAX_TOKENS})
    async with connections(url, workers) as opened:
        return await rate(lambda i: opened[i].ok("POST", "/v1/chat/completions", body), workers, seconds)


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """The scripted server."""
    seconds = options.size(5, 2)
    with TemporaryDirectory(prefix="trialbook-bench-") as directory:
        rules = Path(directory) / "rules.json"
        rules.write_bytes(msgspec.json.encode(RULES))
        async with scripted_server("--rules", str(rules)) as url:

            async def measure() -> Sample:
                ways = {"caller": through_caller, "sdk": through_sdk, "http": over_http}
                done = {
                    (name, workers): await way(url, workers, seconds)
                    for (name, way), workers in itertools.product(ways.items(), (PARALLEL, 1))
                }
                more = {
                    "sequential": done["caller", 1], "sdk_sequential": done["sdk", 1], "http": done["http", PARALLEL],
                    "http_sequential": done["http", 1],
                }  # fmt: skip
                return Sample(value=done["caller", PARALLEL], bare=done["sdk", PARALLEL], more=more)

            yield measure
