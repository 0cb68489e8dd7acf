"""RO-Crate 1.3 metadata of a run, as a Process Run Crate: an action, what it used, and what it made."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import Any

import msgspec

from trialbook.package.paths import reference
from trialbook.views import RunView

METADATA = "ro-crate-metadata.json"
CONTEXT = ["https://w3id.org/ro/crate/1.3/context", "https://w3id.org/ro/terms/workflow-run/context"]
CRATE, PROFILE = "https://w3id.org/ro/crate/1.3", "https://w3id.org/ro/wfrun/process/0.6"
_STATUS = {
    "completed": "http://schema.org/CompletedActionStatus",
    "failed": "http://schema.org/FailedActionStatus",
    "cancelled": "http://schema.org/FailedActionStatus",
}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the package: ``role`` is ``input``, ``output`` or ``record``; size in bytes."""

    path: str
    sha256: str
    size: int
    role: str
    about: str
    media_type: str = ""


def _ref(id_: str) -> dict[str, str]:
    return {"@id": id_}


def _refs(members: Sequence[Member], role: str = "") -> list[dict[str, str]]:
    return [_ref(reference(member.path)) for member in members if role in ("", member.role)]


def _fragment(kind: str, name: str) -> str:
    return f"#{kind}-{reference(name)}"


def _file(member: Member) -> dict[str, Any]:
    guessed = member.media_type or mimetypes.guess_type(member.path)[0] or "application/octet-stream"
    return {
        "@id": reference(member.path), "@type": "File", "name": member.path, "description": member.about,
        "contentSize": str(member.size), "encodingFormat": guessed, "sha256": member.sha256,
    }  # fmt: skip


def metadata(run: RunView, members: Sequence[Member], actor: str, made_at: str) -> dict[str, Any]:
    """The whole document. ``actor`` ordered the run; ``made_at`` is when the package was made (RFC 3339)."""
    run_id, tool, agent = _fragment("run", run.id), _fragment("workload", run.workload), _fragment("actor", actor)
    label = run.title or run.name or run.id
    action: dict[str, Any] = {
        "@id": run_id, "@type": "CreateAction", "name": f"Run {run.id} of {run.workload}", "instrument": _ref(tool),
        "agent": _ref(agent), "object": _refs(members, "input"), "result": _refs(members, "output"),
        "actionStatus": _STATUS.get(run.status, "http://schema.org/ActiveActionStatus"),
        **{name: time for name, time in (("startTime", run.started_at), ("endTime", run.finished_at)) if time},
    }  # fmt: skip
    if run.error is not None:
        action["error"] = str(run.error.get("detail", ""))
    root = {
        "@id": "./", "@type": "Dataset", "name": f"Trialbook run: {label}", "identifier": run.id,
        "description": f"Facts, inputs, outputs, logs, metrics and environment of one run of {run.workload}.",
        "datePublished": made_at, "license": "Rights stay with the owners of the run's inputs and outputs.",
        "conformsTo": _ref(PROFILE), "hasPart": _refs(members), "mentions": [_ref(run_id)],
    }  # fmt: skip
    graph: list[dict[str, Any]] = [
        {
            "@id": METADATA, "@type": "CreativeWork", "name": "RO-Crate metadata", "conformsTo": _ref(CRATE),
            "about": _ref("./"),
        },
        root,
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.6"},
        {
            "@id": tool, "@type": "SoftwareApplication", "name": run.workload,
            "url": f"urn:trialbook:workload:{run.workload}",
        },
        {"@id": agent, "@type": "Person", "name": actor},
        action,
        *(_file(member) for member in members),
    ]  # fmt: skip
    return {"@context": CONTEXT, "@graph": graph}
