"""Commands on a run. ``command_id`` makes a repeated command harmless."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.domain.run.spec import Isolation, RunSpec


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all run commands."""


class Create(Command, frozen=True, kw_only=True):
    """Create a run; with ``start`` it is queued in the same decision. ``ticket`` names the queue entry.

    ``held``, here and below, is for the handler alone: the run's lane is busy, so that its entry reaches no pool yet.
    """

    spec: RunSpec
    start: bool = True
    ticket: str = ""
    held: bool = False
    command_id: str = ""
    digest: str = ""


class Start(Command, frozen=True, kw_only=True):
    """Queue a created run."""

    ticket: str
    held: bool = False
    command_id: str = ""


class Retry(Command, frozen=True, kw_only=True):
    """Queue a failed or cancelled run again; completed steps and effects are kept."""

    ticket: str
    held: bool = False
    command_id: str = ""


class RequestCancel(Command, frozen=True, kw_only=True):
    """Cancel: at once when nobody executes it, else by asking the runner."""

    reason: str = ""
    command_id: str = ""


class RequestPause(Command, frozen=True, kw_only=True):
    """Pause: at once when queued, else at the workload's next checkpoint."""

    command_id: str = ""


class RequestResume(Command, frozen=True, kw_only=True):
    """Resume a paused run, or withdraw a pause that has not happened yet."""

    ticket: str
    held: bool = False
    command_id: str = ""


class Turn(Command, frozen=True, kw_only=True):
    """The lane lets the run in that waits with this ticket; no effect when it no longer does."""

    ticket: str


class Reset(Command, frozen=True, kw_only=True):
    """Make a run that is not active what it was when it was created, to be started again."""

    command_id: str = ""


class Delete(Command, frozen=True, kw_only=True):
    """Remove a run from the lists: one that is not active, or with ``cancel`` any, which ends its execution."""

    cancel: bool = False
    command_id: str = ""


class Claim(Command, frozen=True, kw_only=True):
    """A runner that holds the queue entry ``ticket`` takes the run.

    ``signal_sequence`` is the run's last position in SIGNALS as the stream has it, for a redelivered entry.
    """

    ticket: str
    runner: str
    isolation: Isolation = "process"
    sandbox: str = ""
    environment: dict[str, str] = {}
    signal_sequence: int = 0


class AttemptCommand(Command, frozen=True, kw_only=True):
    """Base of what only the owner of the current attempt may say."""

    attempt: int


class StartStep(AttemptCommand, frozen=True, kw_only=True):
    """Begin a step."""

    step: str
    needs: list[str] = []


class CompleteStep(AttemptCommand, frozen=True, kw_only=True):
    """End a step well."""

    step: str
    result: Any = None


class FailStep(AttemptCommand, frozen=True, kw_only=True):
    """End a step badly."""

    step: str
    error: dict[str, Any]


class Checkpoint(AttemptCommand, frozen=True, kw_only=True):
    """Store the state to resume from."""

    data: Any = None
    blob: str | None = None


class RecordEffect(AttemptCommand, frozen=True, kw_only=True):
    """Record a non-deterministic call."""

    key: str
    request_digest: str
    response: Any = None
    blob: str | None = None
    info: dict[str, Any] = {}


class RecordArtifact(AttemptCommand, frozen=True, kw_only=True):
    """Record stored bytes."""

    name: str
    sha256: str
    size: int
    media_type: str = "application/octet-stream"


class ConfirmPaused(AttemptCommand, frozen=True, kw_only=True):
    """The workload stopped at a checkpoint."""

    signal_sequence: int = 0


class Complete(AttemptCommand, frozen=True, kw_only=True):
    """The workload returned."""

    result: Any = None
    result_blob: str | None = None
    signal_sequence: int = 0


class Fail(AttemptCommand, frozen=True, kw_only=True):
    """The workload raised, timed out or was refused; ``retryable`` allows another attempt."""

    error: dict[str, Any]
    retryable: bool = True
    signal_sequence: int = 0


class ConfirmCancelled(AttemptCommand, frozen=True, kw_only=True):
    """The workload was ended on request."""

    signal_sequence: int = 0


class FinishInline(Command, frozen=True, kw_only=True):
    """Claim and verdict of an inline workload in one decision. Exactly one of ``result`` and ``error`` counts."""

    ticket: str
    runner: str
    started_at: str
    result: Any = None
    error: dict[str, Any] | None = None
