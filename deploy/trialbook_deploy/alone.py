"""The embedded nats-server alone, without services: for an import into a data directory that no stack uses."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from trialbook_deploy import nats
from trialbook_deploy.errors import DeployError
from trialbook_deploy.state import lock_data_dir, prepare_data_dir

START_SECONDS = 30.0
STOP_SECONDS = 15.0


@asynccontextmanager
async def server(data_dir: Path) -> AsyncIterator[str]:
    """Run it on the directory and give its address with credentials. Raises DeployError when a stack runs there."""
    directory = prepare_data_dir(data_dir)
    lock = lock_data_dir(directory)
    try:
        embedded = nats.configure(directory, 0, taps=False)
        with (directory / "nats" / "import.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*embedded.argv, stdout=log, stderr=log)
        try:
            await _ready(embedded, process)
            yield embedded.client_url
        finally:
            await _stop(process)
    finally:
        os.close(lock)


async def _ready(embedded: nats.NatsServer, process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                if await embedded.ready():
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise DeployError(f"nats-server is not ready after {START_SECONDS:.0f} s; see import.log beside it.") from None
    raise DeployError(f"nats-server ended with code {process.returncode}; see import.log in {embedded.directory}.")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End it in order, so that everything it acknowledged is in its files."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
