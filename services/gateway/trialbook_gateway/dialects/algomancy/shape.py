"""Scenarios as clients see them, from the runs that they are."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.algomancy import SENTINEL, Profile
from trialbook.domain.run import RunState, Status
from trialbook.views import run_view
from trialbook_gateway.dialects.algomancy.ids import shown

STATUS: dict[Status, str] = {
    "created": "created", "queued": "queued", "paused": "queued", "running": "processing", "completed": "complete",
    "failed": "failed", "cancelled": "failed",
}  # fmt: skip
CANCELLED = "Cancelled"
SCENARIO = "algomancy"
"""The workload, and the dialect, of the runs that are scenarios."""
Document = dict[str, Any]


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario's run carries for this API. ``dataset_id`` is the identity that clients see.

    All is empty when the run is that of a data subject who was erased.
    """

    dataset_id: str = ""
    dataset_key: str = ""
    algorithm: str = ""
    parameters: str = ""
    data_parameters: dict[str, Any] = {}


class Blob(msgspec.Struct, frozen=True):
    """Where an artifact's bytes are."""

    sha256: str


class Percent(msgspec.Struct, frozen=True):
    """A progress signal."""

    done: float = 0.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a run's view that scenarios are made of."""

    id: str
    name: str | None
    status: Status
    extra: Extra
    created_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int
    sequence: int
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    artifacts: dict[str, Blob]
    progress: Percent | None = None

    @property
    def artifact(self) -> str | None:
        """The digest of a result that is too large to stand in the run."""
        name = (self.result or {}).get("artifact")
        return None if name is None else self.artifacts[name].sha256

    @property
    def known(self) -> bool:
        """Whether it was not erased."""
        return bool(self.extra.algorithm)

    @property
    def available(self) -> bool:
        """Whether there is a result of the algorithm."""
        return self.status == "completed"


class _Head(msgspec.Struct, frozen=True):
    workload: str
    dialect: str


_head = msgspec.json.Decoder(_Head).decode
_run = msgspec.json.Decoder(Run).decode


def decode_run(view: bytes) -> Run | None:
    """A scenario's run from the JSON of a view; None for runs that are no scenarios of this API, or erased ones."""
    head = _head(view)
    if not head.workload == head.dialect == SCENARIO:
        return None
    run = _run(view)
    return run if run.known else None


def run_of(session: str, id_: str, state: RunState, sequence: int) -> Run:
    """A scenario's run from its state in the ledger."""
    return msgspec.convert(msgspec.to_builtins(run_view(session, id_, state, sequence)), Run)


def status_of(run: Run) -> str:
    """In this API's words."""
    return STATUS[run.status]


def progress_of(run: Run) -> float:
    """Percent; that of a finished scenario stands in its verdict, because the last signal may still be on its way."""
    match run.status:
        case "completed":
            return float((run.result or {}).get("progress", 0.0))
        case "failed":
            return float((run.error or {}).get("progress", 0.0))
        case "created" | "queued" | "paused":
            return 0.0
    return 0.0 if run.progress is None else run.progress.done


def brief(run: Run) -> Document:
    """What ``/status`` tells."""
    return {"id": shown(run.id), "tag": run.name, "status": status_of(run), "progress": progress_of(run)}


def kpis_of(profile: Profile, run: Run) -> Document:
    """All registered KPIs, with the values that were computed; null stands for NaN."""
    values = _computed(run)
    return {
        kpi.key: {
            "name": kpi.display_name, "better_when": kpi.better_when, "unit": kpi.unit,
            "value": values.get(kpi.key, SENTINEL), "threshold": kpi.threshold,
        }
        for kpi in profile.kpis
    }  # fmt: skip


def _computed(run: Run) -> Document:
    verdict = run.result if run.status == "completed" else run.error if run.status == "failed" else None
    computed: Document = (verdict or {}).get("kpis", {})
    return computed


def result_of(run: Run, large: bytes | None = None) -> Any:
    """The algorithm's result, ``large`` when it is an artifact; the error of a failed scenario; else None."""
    match run.status:
        case "completed":
            return msgspec.Raw(large) if large is not None else (run.result or {}).get("result")
        case "failed":
            error = run.error or {}
            return {"error": error.get("text") or error.get("detail", "")}
        case "cancelled":
            return {"error": CANCELLED}
    return None


def scenario(profile: Profile, run: Run, large: bytes | None = None) -> Document:
    """The whole scenario, in the documented order of keys."""
    extra = run.extra
    return {
        "id": shown(run.id),
        "tag": run.name,
        "input_data_id": extra.dataset_id,
        "kpis": kpis_of(profile, run),
        "algorithm": {"name": extra.algorithm, "parameters": extra.parameters},
        "data_parameters": extra.data_parameters,
        "status": status_of(run),
        "result": result_of(run, large),
    }


def summary(profile: Profile, run: Run) -> Document:
    """One line of the light list; times are RFC 3339 or null."""
    extra, computed = run.extra, _computed(run)
    values = {kpi.key: computed.get(kpi.key, SENTINEL) for kpi in profile.kpis}
    return {
        "id": shown(run.id), "tag": run.name, "input_data_key": extra.dataset_key, "algorithm": extra.algorithm,
        "data_parameters": extra.data_parameters, "status": status_of(run), "progress": progress_of(run),
        "created_at": run.created_at, "run_started_at": run.started_at, "run_finished_at": run.finished_at,
        "result_available": run.available, "kpis": values,
    }  # fmt: skip
