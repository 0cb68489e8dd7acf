"""Exceptions of a workload as the bounded errors that stand in the ledger."""

from __future__ import annotations

import signal
import traceback
from typing import Any

import msgspec

from trialbook.errors import Refusal
from trialbook.workload import Failure
from trialbook_runner.execute.wire import Verdict

MAX_DETAIL = 2_000
MAX_TRACEBACK = 16_000
NEVER_RETRIED = frozenset({"invalid_params", "unknown_workload", "isolation_not_allowed", "sandbox_unavailable"})


class Stale(Exception):
    """The attempt no longer owns its run: stop at once and say nothing."""


def failed(code: str, detail: str, *, retryable: bool = True, **extra: Any) -> Verdict:
    """A failure with a stable code."""
    error = {"code": code, "detail": detail[:MAX_DETAIL], **extra}
    return Verdict(status="failed", error=error, retryable=retryable and code not in NEVER_RETRIED)


def verdict_of(error: BaseException) -> Verdict:
    """How an exception that left a workload is reported."""
    if isinstance(error, Failure):
        return failed(error.code, error.detail, retryable=error.retryable, **_jsonable(error.extra))
    if isinstance(error, Refusal):
        return failed(error.code, error.detail, **_jsonable(error.extra))
    if isinstance(error, MemoryError):
        return failed("out_of_memory", "The workload ran out of memory.", traceback=trace_of(error))
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return failed("exception", detail, type=type(error).__name__, traceback=trace_of(error))


def trace_of(error: BaseException) -> str:
    """The end of its traceback, where the cause is."""
    text = "".join(traceback.format_exception(error))
    return text if len(text) <= MAX_TRACEBACK else f"[...]\n{text[-MAX_TRACEBACK:]}"


def crashed(status: int) -> Verdict:
    """A process that ended without a verdict; ``status`` as ``os.waitstatus_to_exitcode`` gives it."""
    if status >= 0:
        return failed(
            "process_crashed", f"The process ended with exit code {status} before it gave a result.", exit_code=status
        )
    name = signal.Signals(-status).name if -status in {s.value for s in signal.Signals} else str(-status)
    hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
    return failed("process_crashed", f"The process was ended by {name}{hint}.", signal=name)


def _jsonable(extra: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.to_builtins(extra, enc_hook=repr)
    return {key: value for key, value in members.items() if key not in ("code", "detail")}
