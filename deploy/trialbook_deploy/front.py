"""Two processes guard each other: the front that the user started, and the keeper that supervises the services.

Killing the front closes its end of the lifeline pipe: the keeper sees it and stops everything. Killing the keeper
makes the front the parent of all that is left, and it kills that. So no signal to either leaves orphans.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from trialbook_deploy.guard import adopt_orphans
from trialbook_deploy.processes import kill_descendants, send

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def block_stop_signals() -> None:
    """Hold stop signals back until handlers are in place."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def unblock_stop_signals() -> None:
    """Let held stop signals arrive; call it before starting any program, for programs inherit the mask."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def run_guarded(keeper: Callable[[int], int]) -> int:
    """Run `keeper(lifeline)` in a forked process and wait for it. Returns its exit code.

    `lifeline` is a file descriptor that reaches end of file when this process dies.
    """
    read_end, write_end = os.pipe()
    adopt_orphans()
    block_stop_signals()
    sys.stdout.flush()
    sys.stderr.flush()
    keeper_pid = os.fork()
    if keeper_pid == 0:
        os.close(write_end)
        adopt_orphans()  # of a service that died: the keeper kills them
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the front only, which passes it on once
        os._exit(_run_keeper(keeper, read_end))
    os.close(read_end)
    return _watch(keeper_pid)


def _run_keeper(keeper: Callable[[int], int], lifeline: int) -> int:
    code = 1
    try:
        code = keeper(lifeline)
    except BaseException:  # noqa: BLE001 - the process ends here in any case, and says why
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


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
