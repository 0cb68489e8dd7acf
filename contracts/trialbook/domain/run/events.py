"""Facts of a run, in their current versions. Older versions are upcast before they reach these classes."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from trialbook.domain.run.spec import RunSpec


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all run facts; ``TYPE`` is the wire name."""

    TYPE: ClassVar[str]


class Created(RunEvent, frozen=True, kw_only=True):
    """The run exists and waits for a start."""

    TYPE = "run.created.v1"
    spec: RunSpec
    command_id: str = ""
    digest: str = ""
    """sha256 of the request body, to tell a repeated request from another one under the same Idempotency-Key."""


class Submitted(RunEvent, frozen=True, kw_only=True):
    """Created and queued in one decision: the usual way in."""

    TYPE = "run.submitted.v1"
    spec: RunSpec
    ticket: str
    held: bool = False
    """The run waits in its lane: the entry is in no pool before a ``queued`` fact with ``turn``."""
    command_id: str = ""
    digest: str = ""


class Queued(RunEvent, frozen=True, kw_only=True):
    """Put (again) into the queue: start of a created run, retry or resume. ``ticket`` names this queue entry."""

    TYPE = "run.queued.v1"
    ticket: str
    reason: str = "start"
    pool: str = "default"
    priority: str = "normal"
    held: bool = False
    """The run waits in its lane, in no pool."""
    turn: bool = False
    """The lane lets a held run in: the same entry, now in its pool."""
    command_id: str = ""


class Started(RunEvent, frozen=True, kw_only=True):
    """A runner owns the run now; ``attempt`` (from 1) is the fencing token."""

    TYPE = "run.started.v1"
    attempt: int
    runner: str
    isolation: str = "process"
    sandbox: str = ""
    """Which wall really ran: ``bwrap``, ``landlock`` or ``none``; empty when no sandbox was asked for."""
    environment: dict[str, str] = {}
    """Versions of workload, Trialbook, Python and platform; ``packages``: sha256 of the list of installed packages."""


class AttemptLost(RunEvent, frozen=True, kw_only=True):
    """The attempt's lease ran out: its runner died or was cut off. Its late facts are refused."""

    TYPE = "run.attempt_lost.v1"
    attempt: int
    runner: str
    reason: str = "lease expired"
    signal_sequence: int = 0
    """The last position of the run in SIGNALS when it was taken over."""


class AttemptFailed(RunEvent, frozen=True, kw_only=True):
    """The attempt failed and another one will follow at ``retry_at``."""

    TYPE = "run.attempt_failed.v1"
    attempt: int
    error: dict[str, Any]
    retry_at: str
    signal_sequence: int = 0


class StepStarted(RunEvent, frozen=True, kw_only=True):
    """A named part of the run began."""

    TYPE = "run.step_started.v1"
    attempt: int
    step: str
    needs: list[str] = []


class StepCompleted(RunEvent, frozen=True, kw_only=True):
    """A step ended well; its result is not computed again by later attempts."""

    TYPE = "run.step_completed.v1"
    attempt: int
    step: str
    result: Any = None


class StepFailed(RunEvent, frozen=True, kw_only=True):
    """A step failed."""

    TYPE = "run.step_failed.v1"
    attempt: int
    step: str
    error: dict[str, Any]


class Checkpointed(RunEvent, frozen=True, kw_only=True):
    """The workload's state to resume from: inline ``data`` or ``blob`` (sha256) when larger than 64 KiB."""

    TYPE = "run.checkpointed.v1"
    attempt: int
    data: Any = None
    blob: str | None = None


class EffectRecorded(RunEvent, frozen=True, kw_only=True):
    """A non-deterministic call with the digest of its request; later attempts take ``response`` instead of calling."""

    TYPE = "run.effect_recorded.v1"
    attempt: int
    key: str
    request_digest: str
    response: Any = None
    blob: str | None = None
    info: dict[str, Any] = {}


class ArtifactRecorded(RunEvent, frozen=True, kw_only=True):
    """Bytes the run produced, stored under their sha256."""

    TYPE = "run.artifact_recorded.v1"
    attempt: int
    name: str
    sha256: str
    size: int
    media_type: str = "application/octet-stream"


class CancelRequested(RunEvent, frozen=True, kw_only=True):
    """Somebody wants the run to end."""

    TYPE = "run.cancel_requested.v1"
    reason: str = ""
    command_id: str = ""


class PauseRequested(RunEvent, frozen=True, kw_only=True):
    """Somebody wants the run to stop at its next checkpoint."""

    TYPE = "run.pause_requested.v1"
    command_id: str = ""


class ResumeRequested(RunEvent, frozen=True, kw_only=True):
    """Somebody wants a paused (or pausing) run to go on."""

    TYPE = "run.resume_requested.v1"
    command_id: str = ""


class Paused(RunEvent, frozen=True, kw_only=True):
    """The run stands still and owns no runner."""

    TYPE = "run.paused.v1"
    attempt: int = 0
    signal_sequence: int = 0


class Completed(RunEvent, frozen=True, kw_only=True):
    """Verdict: the workload returned. Result inline or as ``result_blob`` (sha256) when larger than 64 KiB.

    ``signal_sequence`` is the last position of this run in SIGNALS: a reader who has it has every log line.
    ``started_at`` is given for inline attempts, which have no ``started`` fact.
    """

    TYPE = "run.completed.v1"
    attempt: int
    result: Any = None
    result_blob: str | None = None
    signal_sequence: int = 0
    started_at: str = ""
    runner: str = ""


class Failed(RunEvent, frozen=True, kw_only=True):
    """Verdict: ``error`` has ``code``, ``detail`` and optionally ``traceback``."""

    TYPE = "run.failed.v1"
    attempt: int
    error: dict[str, Any]
    signal_sequence: int = 0
    started_at: str = ""
    runner: str = ""


class Cancelled(RunEvent, frozen=True, kw_only=True):
    """Verdict: ended on request."""

    TYPE = "run.cancelled.v1"
    attempt: int = 0
    reason: str = ""
    signal_sequence: int = 0


class Reset(RunEvent, frozen=True, kw_only=True):
    """The run is as it was when it was created; what it did before stays in the ledger. Attempts count on."""

    TYPE = "run.reset.v1"
    command_id: str = ""


class Deleted(RunEvent, frozen=True, kw_only=True):
    """The run is no longer listed and its name is free; its facts stay."""

    TYPE = "run.deleted.v1"
    command_id: str = ""


EVENTS: tuple[type[RunEvent], ...] = (
    Created,
    Submitted,
    Queued,
    Started,
    AttemptLost,
    AttemptFailed,
    StepStarted,
    StepCompleted,
    StepFailed,
    Checkpointed,
    EffectRecorded,
    ArtifactRecorded,
    CancelRequested,
    PauseRequested,
    ResumeRequested,
    Paused,
    Completed,
    Failed,
    Cancelled,
    Reset,
    Deleted,
)
