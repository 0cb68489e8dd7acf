"""The supervisor: keeps programs running, and ends them all in order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

from trialbook_deploy.child import Backoff, Child, ChildSpec, describe, guarded
from trialbook_deploy.errors import DeployError
from trialbook_deploy.output import PrefixedOutput

STAGE_RESERVE_SECONDS = 1.0  # of the drain time, kept for each later stage
GIVE_UP_AFTER = 5  # failures in a row while starting up


class Supervisor:
    """Runs children until `stop`. All of them see `lifeline` reach end of file when the front process dies."""

    def __init__(
        self,
        output: PrefixedOutput,
        lifeline: int,
        *,
        backoff: Backoff | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called whenever a child has started or ended."""
        self.output = output
        self.lifeline = lifeline
        self.backoff = backoff or Backoff()
        self.spawning = asyncio.Lock()  # held while the set of children and their process ids may differ
        self.changed = on_change
        self._programs: dict[str, int] = {}
        self._children: dict[str, tuple[Child, asyncio.Task[object]]] = {}

    def start(self, spec: ChildSpec) -> Child:
        """Keep a program running. Its name must be free."""
        assert spec.name not in self._children, f"{spec.name} is already supervised"
        child = Child(spec, self)
        self._children[spec.name] = (child, asyncio.create_task(child.run(), name=spec.name))
        return child

    async def remove(self, child: Child) -> None:
        """Kill one child and forget it."""
        _, task = self._children[child.spec.name]
        child.stop(kill=True)
        await task
        del self._children[child.spec.name]

    async def run_once(self, name: str, argv: tuple[str, ...], env: Mapping[str, str]) -> int:
        """Run a program to its end with this process's own output. Returns its exit code."""
        async with self.spawning:
            process = await asyncio.create_subprocess_exec(
                *guarded(argv), stdin=asyncio.subprocess.DEVNULL, env=dict(env), start_new_session=True
            )
            self._programs[name] = process.pid
        self.changed()
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            del self._programs[name]
            self.changed()

    def pids(self) -> dict[str, int]:
        """Process id of each program that runs now."""
        running = {name: child.pid for name, (child, _) in self._children.items() if child.pid is not None}
        return running | self._programs

    def check_starting(self) -> None:
        """Raise DeployError when a child fails again and again before the stack is ready, or once for its settings."""
        for name, (child, task) in self._children.items():
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise DeployError(f"{name} cannot be started: {error}") from error
            if child.failures >= GIVE_UP_AFTER or child.last_code == os.EX_CONFIG:
                raise DeployError(failure_text(child))

    def unsettled(self) -> list[str]:
        """Names of the children that do not run, or failed a moment ago."""
        return [name for name, (child, _) in self._children.items() if not child.settled]

    async def stop(self, grace_seconds: float) -> None:
        """End all children stage by stage; whoever is not gone when its time is up is killed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        stages = sorted({child.spec.stage for child, _ in self._children.values()})
        for index, stage in enumerate(stages):
            members = [pair for pair in self._children.values() if pair[0].spec.stage == stage]
            later = len(stages) - 1 - index
            reserve = min(STAGE_RESERVE_SECONDS, grace_seconds / (len(stages) + 1)) * later
            await self._stop_stage(members, deadline - reserve - loop.time())
        self._children.clear()

    def kill_all(self) -> None:
        """End all children at once."""
        for child, _ in self._children.values():
            child.stop(kill=True)

    async def _stop_stage(self, members: list[tuple[Child, asyncio.Task[object]]], seconds: float) -> None:
        for child, _ in members:
            child.stop()
        _, late = await asyncio.wait([task for _, task in members], timeout=max(seconds, 0.0))
        for child, task in members:
            if task in late:
                self.output.say(f"{child.spec.name} did not end in time and is killed")
                child.stop(kill=True)
        results = await asyncio.gather(*(task for _, task in members), return_exceptions=True)
        for (child, _), result in zip(members, results, strict=True):
            if isinstance(result, BaseException):
                self.output.say(f"{child.spec.name}: {type(result).__name__}: {result}")


def failure_text(child: Child) -> str:
    """Why a child does not come up, with its last lines."""
    how = describe(child.last_code) if child.last_code is not None else "does not start"
    lines = "\n".join(f"  {line}" for line in child.recent)
    times = f", {child.failures} times in a row" if child.failures > 1 else ""
    return f"{child.spec.name} {how}{times}. Its last lines:\n{lines}"
