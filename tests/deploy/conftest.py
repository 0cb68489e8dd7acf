"""Stand-ins for the services: tiny programs under the same module names, so that supervision is tested by itself."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = """
import http.server, json, os, signal, sys, threading
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({k: v for k, v in os.environ.items() if k.startswith("TRIALBOOK_")}).encode()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.HTTPServer((os.environ["TRIALBOOK_HOST"], int(os.environ["TRIALBOOK_PORT"])), Ready)
def stop(*_):
    print("gateway drains")
    threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, stop)
print("gateway listens")
server.serve_forever()
"""

PROJECTOR = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("projector drains"), sys.exit(0)))
print("projector waits")
while True: signal.pause()
"""

# Starts what a workload may leave: a process in a session of its own whose parent is gone.
RUNNER = """
import os, signal, subprocess, sys, time
name = os.environ["TRIALBOOK_RUNNER_NAME"]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "300"])
    os._exit(0)
subprocess.Popen(["sleep", "300"], start_new_session=True)
signal.signal(signal.SIGTERM, lambda *_: (print(name, "drains"), sys.exit(0)))
print(name, "is up")
while True: signal.pause()
"""


def write_service(directory: Path, name: str, source: str) -> None:
    """A stand-in package that wins over the installed one through PYTHONPATH."""
    package = directory / f"trialbook_{name}"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(source)


class Marked:
    """Processes started with a mark in their environment, however far they have wandered."""

    def __init__(self) -> None:
        self.env = {"TRIALBOOK_TEST_MARK": uuid.uuid4().hex}
        self._needle = "=".join(*self.env.items()).encode()

    def pids(self) -> dict[int, str]:
        """Live marked processes with their command lines."""
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if self._needle in (directory / "environ").read_bytes():
                    found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found


@pytest.fixture
def marked() -> Iterator[Marked]:
    mark = Marked()
    yield mark
    left = mark.pids()
    for pid in left:
        os.kill(pid, 9)
    assert not left, f"processes were left behind: {left}"


@pytest.fixture
def services(tmp_path: Path, marked: Marked) -> dict[str, str]:
    """The environment in which the stand-ins are the services."""
    directory = tmp_path / "standins"
    for name, source in (("gateway", GATEWAY), ("projector", PROJECTOR), ("runner", RUNNER)):
        write_service(directory, name, source)
    return marked.env | {"PYTHONPATH": str(directory)}
