"""L3: seconds of a marketplace experiment, 100 customers and 300 businesses, whose agents ask a zero-latency model.

From the order over HTTP until its status reads ``completed``. The model is the scripted server in a process of its own
that plays the rule-based policies from the prompts; every call is a recorded effect. The measurement fails unless as
many customers' needs are met as by the rules. Further figures: ``calls``, ``calls_per_s``, ``failed_calls``, and
``needs_met`` (customers). Every customer writes to half of all businesses or so, which makes some 20,000 calls.

The bare part: the same experiment with the rule-based policies, which ask nobody.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import HttpConnection, connections
from benchmarks.local import directory, stack
from benchmarks.model import Measure, Options, Sample, Target
from benchmarks.scripted import environment, scripted_server
from trialbook_marketplace.generator import Recipe, generate
from trialbook_marketplace.writer import write_dataset

TARGET = Target(
    key="L3", title="marketplace of 100 x 300 (quick: 10 x 30), scripted model", unit="s", target=None, better="less",
    once=True,
)  # fmt: skip
CUSTOMERS, CUSTOMERS_QUICK = 100, 10
API = "/marketplace/api/experiments"
BY_MODEL = {"customer_policy": "llm", "business_policy": "llm"}
BY_RULES = {"customer_policy": "cheapest_with_amenities", "business_policy": "rule_based"}
POLL_S = 0.02
LONGEST_S = 600.0


async def experiment(client: HttpConnection, name: str, order: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds until it is completed, and its analytics. Raises ``RuntimeError`` when it fails."""
    start = time.perf_counter()
    await client.json("POST", API, {"experiment_name": name, **order})
    async with asyncio.timeout(LONGEST_S):
        while (found := await client.json("GET", f"{API}/{name}/status"))["status"] != "completed":
            if found["status"] == "failed":
                raise RuntimeError(f"experiment {name} failed: {found['error']}")
            await asyncio.sleep(POLL_S)
    taken = time.perf_counter() - start
    return taken, await client.json("GET", f"{API}/{name}/analytics")


def dataset(root: Path, customers: int) -> str:
    """Generate one with three businesses per customer; returns its name."""
    recipe = Recipe(theme="mexican", customers=customers, seed=1)
    write_dataset(generate(recipe), root / recipe.name)
    return recipe.name


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """A dataset, the scripted server, and a stack that uses both."""
    numbers = itertools.count(1)
    with directory() as path:
        name = await asyncio.to_thread(dataset, Path(path), options.size(CUSTOMERS, CUSTOMERS_QUICK))
        async with scripted_server("--marketplace", BY_RULES["customer_policy"]) as url:
            env = {**environment(url), "TRIALBOOK_DATASET_ROOTS": path}
            async with stack(env=env) as running, connections(running.url, 1) as (client,):

                async def measure() -> Sample:
                    number = next(numbers)
                    taken, found = await experiment(client, f"model_{number}", {"dataset": name, **BY_MODEL})
                    bare, expected = await experiment(client, f"rules_{number}", {"dataset": name, **BY_RULES})
                    met = found["customers_with_needs_met"], expected["customers_with_needs_met"]
                    if met[0] != met[1]:
                        raise RuntimeError(f"the model met the needs of {met[0]} customers, the rules of {met[1]}")
                    calls, lost = found["total_llm_calls"], found["failed_llm_calls"]
                    more = {"calls": calls, "calls_per_s": calls / taken, "failed_calls": lost, "needs_met": met[0]}
                    return Sample(value=taken, bare=bare, more=more)

                yield measure
