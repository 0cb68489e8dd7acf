"""The state of a run and how facts change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from trialbook.domain.run import events as e
from trialbook.domain.run.spec import RunSpec

Status = Literal["none", "created", "queued", "running", "paused", "completed", "failed", "cancelled"]
TERMINAL: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})
REMEMBERED_COMMANDS = 32


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step: ``status`` is running, completed or failed; times are RFC 3339."""

    status: str
    needs: list[str] = []
    attempt: int = 0
    started_at: str = ""
    finished_at: str = ""
    result: Any = None
    error: dict[str, Any] | None = None


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact: size in bytes."""

    sha256: str
    size: int
    media_type: str
    attempt: int
    created_at: str


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A recorded call."""

    request_digest: str
    response: Any = None
    blob: str | None = None
    info: dict[str, Any] = {}


class RunState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything decisions and views need to know. ``status`` ``none`` means: no such run."""

    status: Status = "none"
    spec: RunSpec | None = None
    digest: str = ""
    created_at: str = ""
    queued_at: str = ""
    started_at: str = ""
    """Start of the latest attempt."""
    first_started_at: str = ""
    finished_at: str = ""
    ticket: str = ""
    held: str = ""
    """Why it was queued (start, retry, resume), while it waits in its lane; empty: it does not."""
    attempt: int = 0
    failed_attempts: int = 0
    lost_attempts: int = 0
    not_before: str = ""
    runner: str = ""
    sandbox: str = ""
    cancel_requested: bool = False
    cancel_reason: str = ""
    pause_requested: bool = False
    steps: dict[str, Step] = {}
    checkpoint: Any = None
    checkpoint_blob: str | None = None
    effects: dict[str, Effect] = {}
    artifacts: dict[str, Artifact] = {}
    result: Any = None
    result_blob: str | None = None
    error: dict[str, Any] | None = None
    signal_sequence: int = 0
    reset_signals: int = 0
    """Signals up to this position are from before the last reset."""
    deleted: bool = False
    command_ids: tuple[str, ...] = ()

    @property
    def terminal(self) -> bool:
        """Whether a verdict has been given."""
        return self.status in TERMINAL

    @property
    def order(self) -> RunSpec:
        """The spec of an existing run."""
        assert self.spec is not None, "a run that exists has a spec"
        return self.spec


def initial() -> RunState:
    """The state of a run that was never created."""
    return RunState()


def _remember(state: RunState, command_id: str) -> tuple[str, ...]:
    return (*state.command_ids, command_id)[-REMEMBERED_COMMANDS:] if command_id else state.command_ids


def _farthest(s: RunState, ev: Any) -> int:
    """A run's signals never become fewer, also when a later attempt says nothing."""
    last: int = ev.signal_sequence
    return max(s.signal_sequence, last)


def _created(s: RunState, ev: e.Created, at: str) -> RunState:
    return replace(
        s, status="created", spec=ev.spec, digest=ev.digest, created_at=at, command_ids=_remember(s, ev.command_id)
    )


def _submitted(s: RunState, ev: e.Submitted, at: str) -> RunState:
    return replace(
        s,
        status="queued",
        spec=ev.spec,
        digest=ev.digest,
        created_at=at,
        queued_at=at,
        ticket=ev.ticket,
        held="start" if ev.held else "",
        command_ids=_remember(s, ev.command_id),
    )


def _queued(s: RunState, ev: e.Queued, at: str) -> RunState:
    if ev.turn:
        return replace(s, held="")
    fresh = ev.reason == "retry"
    return replace(
        s,
        status="queued",
        queued_at=at,
        ticket=ev.ticket,
        held=ev.reason if ev.held else "",
        not_before="",
        finished_at="",
        error=None,
        result=None,
        result_blob=None,
        runner="",
        cancel_requested=False,
        cancel_reason="",
        pause_requested=False,
        failed_attempts=0 if fresh else s.failed_attempts,
        lost_attempts=0 if fresh else s.lost_attempts,
        command_ids=_remember(s, ev.command_id),
    )


def _started(s: RunState, ev: e.Started, at: str) -> RunState:
    return replace(
        s,
        status="running",
        attempt=ev.attempt,
        runner=ev.runner,
        started_at=at,
        not_before="",
        sandbox=ev.sandbox,
        first_started_at=s.first_started_at or at,
    )


def _lost(s: RunState, ev: e.AttemptLost, at: str) -> RunState:
    return replace(s, status="queued", runner="", lost_attempts=s.lost_attempts + 1, signal_sequence=_farthest(s, ev))


def _attempt_failed(s: RunState, ev: e.AttemptFailed, at: str) -> RunState:
    return replace(
        s, status="queued", runner="", failed_attempts=s.failed_attempts + 1, not_before=ev.retry_at, error=ev.error,
        signal_sequence=_farthest(s, ev),
    )  # fmt: skip


def _step_started(s: RunState, ev: e.StepStarted, at: str) -> RunState:
    step = Step(status="running", needs=ev.needs, attempt=ev.attempt, started_at=at)
    return replace(s, steps={**s.steps, ev.step: step})


def _step_ended(s: RunState, ev: e.StepCompleted | e.StepFailed, at: str) -> RunState:
    before = s.steps.get(ev.step, Step(status="running", attempt=ev.attempt, started_at=at))
    if isinstance(ev, e.StepCompleted):
        after = replace(before, status="completed", finished_at=at, result=ev.result, error=None)
    else:
        after = replace(before, status="failed", finished_at=at, error=ev.error)
    return replace(s, steps={**s.steps, ev.step: after})


def _checkpointed(s: RunState, ev: e.Checkpointed, at: str) -> RunState:
    return replace(s, checkpoint=ev.data, checkpoint_blob=ev.blob)


def _effect(s: RunState, ev: e.EffectRecorded, at: str) -> RunState:
    return replace(s, effects={**s.effects, ev.key: _recorded(ev)})


def _recorded(ev: e.EffectRecorded) -> Effect:
    return Effect(request_digest=ev.request_digest, response=ev.response, blob=ev.blob, info=ev.info)


def _artifact(s: RunState, ev: e.ArtifactRecorded, at: str) -> RunState:
    artifact = Artifact(sha256=ev.sha256, size=ev.size, media_type=ev.media_type, attempt=ev.attempt, created_at=at)
    return replace(s, artifacts={**s.artifacts, ev.name: artifact})


def _cancel_requested(s: RunState, ev: e.CancelRequested, at: str) -> RunState:
    return replace(s, cancel_requested=True, cancel_reason=ev.reason, command_ids=_remember(s, ev.command_id))


def _pause_requested(s: RunState, ev: e.PauseRequested, at: str) -> RunState:
    return replace(s, pause_requested=True, command_ids=_remember(s, ev.command_id))


def _resume_requested(s: RunState, ev: e.ResumeRequested, at: str) -> RunState:
    return replace(s, pause_requested=False, command_ids=_remember(s, ev.command_id))


def _paused(s: RunState, ev: e.Paused, at: str) -> RunState:
    return replace(s, status="paused", held="", runner="", pause_requested=False, signal_sequence=_farthest(s, ev))


def _completed(s: RunState, ev: e.Completed, at: str) -> RunState:
    started = ev.started_at or s.started_at
    return replace(
        s,
        status="completed",
        attempt=ev.attempt,
        result=ev.result,
        result_blob=ev.result_blob,
        error=None,
        finished_at=at,
        started_at=started,
        first_started_at=s.first_started_at or started,
        runner=ev.runner or s.runner,
        signal_sequence=_farthest(s, ev),
    )


def _failed(s: RunState, ev: e.Failed, at: str) -> RunState:
    started = ev.started_at or s.started_at
    return replace(
        s,
        status="failed",
        attempt=ev.attempt,
        error=ev.error,
        finished_at=at,
        started_at=started,
        first_started_at=s.first_started_at or started,
        runner=ev.runner or s.runner,
        signal_sequence=_farthest(s, ev),
    )


def _cancelled(s: RunState, ev: e.Cancelled, at: str) -> RunState:
    return replace(
        s,
        status="cancelled",
        held="",
        finished_at=at,
        cancel_reason=ev.reason or s.cancel_reason,
        signal_sequence=_farthest(s, ev),
    )


def _reset(s: RunState, ev: e.Reset, at: str) -> RunState:
    """What a new run would have, but for what must count on: attempts, signals and remembered commands."""
    return RunState(
        status="created", spec=s.spec, digest=s.digest, created_at=s.created_at, attempt=s.attempt,
        signal_sequence=s.signal_sequence, reset_signals=s.signal_sequence, deleted=s.deleted,
        command_ids=_remember(s, ev.command_id),
    )  # fmt: skip


def _deleted(s: RunState, ev: e.Deleted, at: str) -> RunState:
    return replace(s, deleted=True, command_ids=_remember(s, ev.command_id))


_EVOLVE: dict[type[e.RunEvent], Callable[[RunState, Any, str], RunState]] = {
    e.Created: _created,
    e.Submitted: _submitted,
    e.Queued: _queued,
    e.Started: _started,
    e.AttemptLost: _lost,
    e.AttemptFailed: _attempt_failed,
    e.StepStarted: _step_started,
    e.StepCompleted: _step_ended,
    e.StepFailed: _step_ended,
    e.Checkpointed: _checkpointed,
    e.EffectRecorded: _effect,
    e.ArtifactRecorded: _artifact,
    e.CancelRequested: _cancel_requested,
    e.PauseRequested: _pause_requested,
    e.ResumeRequested: _resume_requested,
    e.Paused: _paused,
    e.Completed: _completed,
    e.Failed: _failed,
    e.Cancelled: _cancelled,
    e.Reset: _reset,
    e.Deleted: _deleted,
}


def evolve(state: RunState, event: e.RunEvent, at: str) -> RunState:
    """Fold one fact; ``at`` is its time."""
    return _EVOLVE[type(event)](state, event, at)


def evolve_all(state: RunState, history: Iterable[tuple[e.RunEvent, str]]) -> RunState:
    """Fold many facts. Of the other facts only a reset touches effects, so those are added at the end,
    without a copy for each.
    """
    effects: dict[str, Effect] = {}
    for event, at in history:
        if isinstance(event, e.EffectRecorded):
            effects[event.key] = _recorded(event)
            continue
        if isinstance(event, e.Reset):
            effects.clear()
        state = evolve(state, event, at)
    return replace(state, effects={**state.effects, **effects}) if effects else state
