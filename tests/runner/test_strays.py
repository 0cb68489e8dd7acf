import asyncio
import os
import subprocess
import sys

import pytest

from trialbook_runner import strays


async def test_a_child_nobody_waits_for_is_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "EVERY_S", 0.05)
    pid = os.posix_spawn("/bin/true", ["true"], {})
    reaping = asyncio.create_task(strays.reap_strays())
    async with asyncio.timeout(60):
        while strays.state(pid):
            await asyncio.sleep(0.02)
    reaping.cancel()
    assert pid not in strays.children()


async def test_exit_codes_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "EVERY_S", 0.05)
    reaping = asyncio.create_task(strays.reap_strays())
    code = [sys.executable, "-c", "import sys; sys.exit(7)"]
    processes = [await asyncio.create_subprocess_exec(*code) for _ in range(5)]
    plain = await asyncio.to_thread(lambda: subprocess.run(code, check=False).returncode)
    assert [await process.wait() for process in processes] == [7] * 5
    assert plain == 7
    reaping.cancel()
