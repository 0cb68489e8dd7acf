"""A stack whose services use a scripted model server that runs in a thread of the test process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.dialects.marketplace.conftest import Processes
from trialbook.testing.llm import Asked, Reply, Rule, ScriptedServer
from trialbook_marketplace.llm.script import marketplace_rules

CANARY = "sk-canary-7f3a9c51-do-not-leak"
PROVIDERS = ("openai", "gemini", "anthropic", "azure_openai")


class Scripted:
    """The server in its thread. ``use`` replaces the rules and forgets what was asked."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = ScriptedServer(keys=[CANARY])
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.server.__aenter__(), self.loop).result(60)

    def use(self, rules: Iterable[Rule]) -> None:
        self.server.script.rules = list(rules)
        self.server.asked.clear()

    @property
    def asked(self) -> list[Asked]:
        return list(self.server.asked)

    def environment(self, prices: Path) -> dict[str, str]:
        """Every provider is this server; the first of the documented order is the default."""
        found: dict[str, str] = {}
        for provider in PROVIDERS:
            found |= self.server.environment(provider, "scripted", CANARY)
        del found["LLM_PROVIDER"]
        return {**found, "LLM_RETRIES": "1", "TRIALBOOK_LLM_PRICES": str(prices)}

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.close(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


class Answered:
    """The marketplace's rules; remembers what was answered, and from ``most`` answers on holds the others back."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = False
        self.prompts: list[str] = []

    def rules(self) -> list[Rule]:
        return [Rule(match=rule.match, reply=self._watched(rule)) for rule in marketplace_rules()]

    def _watched(self, rule: Rule) -> Callable[[Asked], Reply]:
        def answer(asked: Asked) -> Reply:
            if len(self.prompts) >= self.most:
                self.held = True
                return Reply(delay_s=600.0)
            self.prompts.append(asked.prompt)
            return Reply(content=rule.reply(asked))  # type: ignore[operator, arg-type]

        return answer


class ModelProcesses(Processes):
    """The services with language models configured."""

    def __init__(self, directory: Path, roots: Path, models: dict[str, str]) -> None:
        super().__init__(directory, roots)
        self.models = models

    def start(self) -> None:
        self.nats.start()
        for name in ("projector", "runner-1", "gateway"):
            self.start_one(name)
        self.wait_ready()

    def start_one(self, name: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TRIALBOOK_") and "_API_" not in k}
        environment = clean | self.models | {
            "TRIALBOOK_NATS_URL": self.nats.url, "TRIALBOOK_DATA_DIR": str(self.directory / "data" / name),
            "TRIALBOOK_HOST": "127.0.0.1", "TRIALBOOK_PORT": str(self.port), "TRIALBOOK_RUNNER_NAME": name,
            "TRIALBOOK_LEASE_S": "4", "TRIALBOOK_DATASET_ROOTS": str(self.roots), "TRIALBOOK_LOG_LEVEL": "DEBUG",
            "TRIALBOOK_RUNNER_POOLS": "default=4,task=8",
        }  # fmt: skip
        (self.directory / "data" / name).mkdir(parents=True, exist_ok=True)
        with (self.directory / f"{name}.log").open("ab") as output:
            module = f"trialbook_{name.partition('-')[0]}"
            self.running[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", module], env=environment, stdout=output, stderr=output
            )


def write_prices(path: Path) -> Path:
    """A price of one's own: a dollar per thousand tokens."""
    price = {"provider": "openai", "model": "priced", "input": 1000, "output": 1000, "as_of": "2026-01-01",
             "source": "tests"}  # fmt: skip
    path.write_text(json.dumps([price]))
    return path
