"""Two processes guard each other: the front that the user started, and the keeper that supervises the services.

Killing the front closes its end of the lifeline pipe: the keeper sees it and stops everything. Killing the keeper
makes the front the parent of all that is left, and it kills that. So no signal to either leaves orphans.

Both live as long as the stack, so each is a fresh interpreter that imports only what it needs: `trialbook up` execs the
front when it has read its options, and the front starts the keeper.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from trialbook_deploy.guard import adopt_orphans
from trialbook_deploy.processes import kill_descendants, send

OPTIONS_VARIABLE = "TRIALBOOK_UP_OPTIONS"
LIFELINE_VARIABLE = "TRIALBOOK_LIFELINE_FD"  # services get it too: it reaches end of file when the front dies
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def block_stop_signals() -> None:
    """Hold stop signals back until handlers are in place."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def unblock_stop_signals() -> None:
    """Let held stop signals arrive; call it before starting any program, for programs inherit the mask."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def become_front(options: str) -> NoReturn:
    """Replace this process by the front; the keeper finds `options` in its environment."""
    sys.stdout.flush()
    sys.stderr.flush()
    environment = os.environ | {OPTIONS_VARIABLE: options}
    os.execve(sys.executable, _module("trialbook_deploy.front"), environment)  # noqa: S606


def main() -> int:
    """Start the keeper and wait for it. Returns its exit code."""
    read_end, write_end = os.pipe()
    adopt_orphans()
    block_stop_signals()
    keeper_pid = os.fork()
    if keeper_pid == 0:
        os.close(write_end)
        _become_keeper(read_end)
    os.close(read_end)
    return _watch(keeper_pid)


def _become_keeper(lifeline: int) -> NoReturn:
    adopt_orphans()  # of a service that died: the keeper kills them
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the front only, which passes it on once
    os.set_inheritable(lifeline, True)
    environment = os.environ | {LIFELINE_VARIABLE: str(lifeline)}
    os.execve(sys.executable, _module("trialbook_deploy.keeper"), environment)  # noqa: S606


def _module(name: str) -> list[str]:
    return [sys.executable, "-P", "-m", name]


def _watch(keeper_pid: int) -> int:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        send(keeper_pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    unblock_stop_signals()
    _, status = os.waitpid(keeper_pid, 0)
    left = kill_descendants()
    if left:
        sys.stderr.write(f"trialbook: processes {left} could not be killed\n")
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
