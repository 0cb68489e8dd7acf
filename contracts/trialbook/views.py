"""What readers see of an aggregate: one shape for REST, NATS answers, live streams and time travel."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.domain.run.state import Artifact, RunState, Step


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its readers see it. Times are RFC 3339 UTC or null; ``sequence`` is its last fact in the ledger.

    ``held``: it is queued, but waits for those before it in its lane.
    """

    id: str
    workspace: str
    name: str | None
    title: str
    workload: str
    dialect: str
    status: str
    params: dict[str, Any]
    labels: dict[str, str]
    pool: str
    lane: str | None
    held: bool
    priority: str
    isolation: str
    timeout_s: float | None
    max_attempts: int
    seed: int
    inputs: dict[str, str]
    parent: str | None
    attempt: int
    runner: str | None
    sandbox: str | None
    created_at: str
    queued_at: str | None
    started_at: str | None
    attempt_started_at: str | None
    finished_at: str | None
    not_before: str | None
    cancel_requested: bool
    pause_requested: bool
    cancel_reason: str | None
    error: dict[str, Any] | None
    result: Any
    result_blob: str | None
    steps: dict[str, Step]
    artifacts: dict[str, Artifact]
    deleted: bool
    signal_sequence: int
    sequence: int
    extra: dict[str, Any]
    progress: dict[str, Any] | None = None
    """The latest progress signal ``{time, done, total, unit, message, step}``; null before the first, and of a run that
    has ended while its last one is on its way into the tables.
    """


class WorkloadView(msgspec.Struct, frozen=True, kw_only=True):
    """What can be run; ``params_schema`` is a JSON Schema (2020-12), ``available``: a live runner executes it now."""

    name: str
    version: str
    title: str
    description: str
    isolation: str
    pool: str
    timeout_s: float | None
    params_schema: dict[str, Any]
    available: bool


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure. ``id`` is that of the destroyed key and tells nothing of the person; times are RFC 3339 UTC or null.

    ``status``: ``erasing`` until the key is destroyed and signals and stored bytes are overwritten, then ``erased``.
    ``aggregates``, ``signals`` (messages) and ``blobs`` count what was erased.
    """

    id: str
    status: str
    reason: str
    registered_at: str | None
    erased_at: str | None
    shredded_at: str | None
    aggregates: int
    signals: int
    blobs: int
    waits_for: list[str] = []
    """Runs that were cancelled and must end first, at most 100; told of an erasure that goes on, when it is read."""


def run_view(
    workspace: str, id_: str, state: RunState, sequence: int, progress: dict[str, Any] | None = None
) -> RunView:
    """The view of an existing run's state at ``sequence``."""
    spec = state.order
    return RunView(
        id=id_, workspace=workspace, name=spec.name, title=spec.title, workload=spec.workload, dialect=spec.dialect,
        status=state.status, params=spec.params, labels=spec.labels, pool=spec.pool, lane=spec.lane or None,
        held=bool(state.held), priority=spec.priority,
        isolation=spec.isolation, timeout_s=spec.timeout_s, max_attempts=spec.retry.max_attempts, seed=spec.seed,
        inputs=spec.inputs, parent=spec.parent, attempt=state.attempt, runner=state.runner or None,
        sandbox=state.sandbox or None, created_at=state.created_at, queued_at=state.queued_at or None,
        started_at=state.first_started_at or None, attempt_started_at=state.started_at or None,
        finished_at=state.finished_at or None, not_before=state.not_before or None,
        cancel_requested=state.cancel_requested, pause_requested=state.pause_requested,
        cancel_reason=state.cancel_reason or None, error=state.error, result=state.result,
        result_blob=state.result_blob, steps=state.steps, artifacts=state.artifacts, deleted=state.deleted,
        signal_sequence=state.signal_sequence, sequence=sequence, extra=spec.extra, progress=progress,
    )  # fmt: skip
