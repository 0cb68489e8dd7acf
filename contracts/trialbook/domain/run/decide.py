"""What may happen to a run next: commands in, facts or a refusal out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from trialbook.domain.run import commands as c
from trialbook.domain.run import events as e
from trialbook.domain.run.state import RunState
from trialbook.errors import Conflict, NotFound
from trialbook.times import rfc3339

Facts = Sequence[e.RunEvent]


def _exists(s: RunState) -> None:
    if s.status == "none" or s.deleted:
        raise NotFound("run_not_found", "There is no such run.")


def _repeated(s: RunState, command_id: str) -> bool:
    return bool(command_id) and command_id in s.command_ids


def _create(cmd: c.Create, s: RunState, now: datetime) -> Facts:
    if s.status != "none":
        if cmd.command_id and _repeated(s, cmd.command_id):
            if cmd.digest == s.digest:
                return ()
            raise Conflict(
                "idempotency_key_reused",
                "This Idempotency-Key was used before with another request body; use a new key.",
            )
        raise Conflict("run_exists", "A run with this id exists already.")
    if cmd.start:
        return (
            e.Submitted(spec=cmd.spec, ticket=cmd.ticket, held=cmd.held, command_id=cmd.command_id, digest=cmd.digest),
        )
    return (e.Created(spec=cmd.spec, command_id=cmd.command_id, digest=cmd.digest),)


def _requeue(
    s: RunState, reason: str, ticket: str, command_id: str = "", *, held: bool = False, turn: bool = False
) -> e.Queued:
    spec = s.order
    return e.Queued(
        ticket=ticket, reason=reason, pool=spec.pool, priority=spec.priority, held=held, turn=turn,
        command_id=command_id,
    )  # fmt: skip


def _start(cmd: c.Start, s: RunState, now: datetime) -> Facts:
    _exists(s)
    if _repeated(s, cmd.command_id):
        return ()
    if s.status != "created":
        raise Conflict(
            "run_already_started", f"The run is {s.status}; only a created run can be started.", status=s.status
        )
    return (_requeue(s, "start", cmd.ticket, cmd.command_id, held=cmd.held),)


def _retry(cmd: c.Retry, s: RunState, now: datetime) -> Facts:
    _exists(s)
    if _repeated(s, cmd.command_id):
        return ()
    if s.status not in ("failed", "cancelled"):
        raise Conflict(
            "run_not_retryable",
            f"The run is {s.status}; only a failed or cancelled run can be retried.",
            status=s.status,
        )
    return (_requeue(s, "retry", cmd.ticket, cmd.command_id, held=cmd.held),)


def _turn(cmd: c.Turn, s: RunState, now: datetime) -> Facts:
    if s.status != "queued" or not s.held or s.ticket != cmd.ticket:
        return ()
    return (_requeue(s, s.held, cmd.ticket, turn=True),)


def _reset(cmd: c.Reset, s: RunState, now: datetime) -> Facts:
    _exists(s)
    if _repeated(s, cmd.command_id) or s.status == "created":
        return ()
    if s.status in ("queued", "running"):
        raise Conflict("run_active", f"The run is {s.status}; cancel it before resetting it.", status=s.status)
    return (e.Reset(command_id=cmd.command_id),)


def _cancel(cmd: c.RequestCancel, s: RunState, now: datetime) -> Facts:
    _exists(s)
    if _repeated(s, cmd.command_id) or s.status == "cancelled":
        return ()
    if s.terminal:
        raise Conflict("run_finished", f"The run is {s.status} and cannot be cancelled.", status=s.status)
    requested = e.CancelRequested(reason=cmd.reason, command_id=cmd.command_id)
    if s.status == "running":
        return () if s.cancel_requested else (requested,)
    return (requested, e.Cancelled(attempt=s.attempt, reason=cmd.reason, signal_sequence=s.signal_sequence))


def _pause(cmd: c.RequestPause, s: RunState, now: datetime) -> Facts:
    _exists(s)
    if _repeated(s, cmd.command_id) or s.status == "paused" or s.pause_requested:
        return ()
    if s.terminal:
        raise Conflict("run_finished", f"The run is {s.status} and cannot be paused.", status=s.status)
    if s.status == "created":
        raise Conflict("run_not_started", "The run has not been started; there is nothing to pause.", status=s.status)
    requested = e.PauseRequested(command_id=cmd.command_id)
    if s.status == "running":
        return (requested,)
    return (requested, e.Paused(attempt=s.attempt, signal_sequence=s.signal_sequence))


def _resume(cmd: c.RequestResume, s: RunState, now: datetime) -> Facts:
    _exists(s)
    if _repeated(s, cmd.command_id):
        return ()
    requested = e.ResumeRequested(command_id=cmd.command_id)
    if s.status == "paused":
        return (requested, _requeue(s, "resume", cmd.ticket, held=cmd.held))
    if s.status == "running" and s.pause_requested:
        return (requested,)
    raise Conflict("run_not_paused", f"The run is {s.status}, not paused; there is nothing to resume.", status=s.status)


def _delete(cmd: c.Delete, s: RunState, now: datetime) -> Facts:
    if _repeated(s, cmd.command_id):
        return ()
    _exists(s)
    deleted = e.Deleted(command_id=cmd.command_id)
    if s.status not in ("queued", "running"):
        return (deleted,)
    if not cmd.cancel:
        raise Conflict("run_active", f"The run is {s.status}; cancel it before deleting it.", status=s.status)
    return (*_cancel(c.RequestCancel(reason="deleted"), s, now), deleted)


def _ticket(s: RunState, ticket: str) -> None:
    if s.status != "running":  # one that was deleted while running is still to be ended
        _exists(s)
    if s.ticket != ticket:
        raise Conflict("stale_ticket", "This queue entry was replaced by a newer one.")
    if s.status not in ("queued", "running") or s.held:
        raise Conflict("run_not_queued", f"The run is {s.status}; there is nothing to execute.", status=s.status)


def _lost(s: RunState, signals: int) -> list[e.RunEvent]:
    """A redelivered ticket of a running run means that the lease of its attempt ran out."""
    if s.status != "running":
        return []
    signals = max(signals, s.signal_sequence)
    lost = e.AttemptLost(attempt=s.attempt, runner=s.runner, signal_sequence=signals)
    if s.cancel_requested:
        return [lost, e.Cancelled(attempt=s.attempt, reason=s.cancel_reason, signal_sequence=signals)]
    if s.lost_attempts + 1 > s.order.retry.max_lost:
        error = {
            "code": "attempts_lost",
            "detail": f"{s.lost_attempts + 1} attempts were lost with their runners; the workload may be killing them.",
        }
        return [lost, e.Failed(attempt=s.attempt, error=error, signal_sequence=signals)]
    return [lost]


def _claim(cmd: c.Claim, s: RunState, now: datetime) -> Facts:
    _ticket(s, cmd.ticket)
    facts = _lost(s, cmd.signal_sequence)
    if len(facts) == 2:
        return facts
    if s.not_before and rfc3339(now) < s.not_before:
        raise Conflict("not_yet", f"The next attempt is due at {s.not_before}.", not_before=s.not_before)
    started = e.Started(
        attempt=s.attempt + 1, runner=cmd.runner, isolation=cmd.isolation, sandbox=cmd.sandbox,
        environment=cmd.environment,
    )  # fmt: skip
    return (*facts, started)


def _finish_inline(cmd: c.FinishInline, s: RunState, now: datetime) -> Facts:
    _ticket(s, cmd.ticket)
    attempt = s.attempt + 1
    if cmd.error is not None:
        return (
            e.Failed(
                attempt=attempt, error=cmd.error, started_at=cmd.started_at, runner=cmd.runner,
                signal_sequence=s.signal_sequence,
            ),
        )  # fmt: skip
    return (
        e.Completed(
            attempt=attempt, result=cmd.result, started_at=cmd.started_at, runner=cmd.runner,
            signal_sequence=s.signal_sequence,
        ),
    )  # fmt: skip


def _fence(s: RunState, attempt: int) -> None:
    if s.status != "running" or s.attempt != attempt:
        raise Conflict(
            "stale_attempt",
            f"Attempt {attempt} no longer owns the run (attempt {s.attempt}, {s.status}).",
            attempt=s.attempt,
            status=s.status,
        )


def _signals(cmd: c.Complete | c.Fail | c.ConfirmCancelled | c.ConfirmPaused, s: RunState) -> int:
    return max(s.signal_sequence, cmd.signal_sequence)


def _fail(cmd: c.Fail, s: RunState, now: datetime) -> e.RunEvent:
    retry, failed = s.order.retry, s.failed_attempts + 1
    if cmd.retryable and not s.cancel_requested and failed < retry.max_attempts:
        at = rfc3339(now + timedelta(seconds=retry.delay_s(failed)))
        return e.AttemptFailed(attempt=cmd.attempt, error=cmd.error, retry_at=at, signal_sequence=_signals(cmd, s))
    return e.Failed(attempt=cmd.attempt, error=cmd.error, signal_sequence=_signals(cmd, s))


def _said(cmd: c.AttemptCommand, s: RunState) -> e.RunEvent | None:
    """What an attempt reports on its way."""
    n = cmd.attempt
    match cmd:
        case c.StartStep():
            return e.StepStarted(attempt=n, step=cmd.step, needs=cmd.needs)
        case c.CompleteStep():
            return e.StepCompleted(attempt=n, step=cmd.step, result=cmd.result)
        case c.FailStep():
            return e.StepFailed(attempt=n, step=cmd.step, error=cmd.error)
        case c.Checkpoint():
            return e.Checkpointed(attempt=n, data=cmd.data, blob=cmd.blob)
        case c.RecordEffect():
            return e.EffectRecorded(
                attempt=n, key=cmd.key, request_digest=cmd.request_digest, response=cmd.response, blob=cmd.blob,
                info=cmd.info,
            )  # fmt: skip
        case c.RecordArtifact():
            return e.ArtifactRecorded(
                attempt=n, name=cmd.name, sha256=cmd.sha256, size=cmd.size, media_type=cmd.media_type
            )
    return None


def _ended(cmd: c.AttemptCommand, s: RunState, now: datetime) -> e.RunEvent:
    """How an attempt ends; the verdict bounds the signals of all attempts."""
    n = cmd.attempt
    match cmd:
        case c.Complete():
            return e.Completed(
                attempt=n, result=cmd.result, result_blob=cmd.result_blob, signal_sequence=_signals(cmd, s)
            )
        case c.Fail():
            return _fail(cmd, s, now)
        case c.ConfirmCancelled():
            return e.Cancelled(attempt=n, reason=s.cancel_reason, signal_sequence=_signals(cmd, s))
        case c.ConfirmPaused():
            return e.Paused(attempt=n, signal_sequence=_signals(cmd, s))
    raise AssertionError(f"unknown command {type(cmd).__name__}")


def _attempt(cmd: c.AttemptCommand, s: RunState, now: datetime) -> Facts:
    _fence(s, cmd.attempt)
    return (_said(cmd, s) or _ended(cmd, s, now),)


_DECIDE: dict[type[c.Command], Callable[[Any, RunState, datetime], Facts]] = {
    c.Create: _create, c.Start: _start, c.Retry: _retry, c.RequestCancel: _cancel, c.RequestPause: _pause,
    c.RequestResume: _resume, c.Delete: _delete, c.Claim: _claim, c.FinishInline: _finish_inline,
    c.Turn: _turn, c.Reset: _reset,
}  # fmt: skip


def decide(command: c.Command, state: RunState, now: datetime) -> Facts:
    """New facts for a command, or a refusal; no facts when the command was carried out before."""
    if isinstance(command, c.AttemptCommand):
        return _attempt(command, state, now)
    return _DECIDE[type(command)](command, state, now)
