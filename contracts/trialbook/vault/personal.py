"""Which members of a fact can hold personal data, and what stands in their place while they are sealed.

Status, times, digests, sizes, attempts and queues stay in clear: an auditor sees that something happened, runners and
projectors can fold without the key, and the proofs hold after an erasure. A placeholder has the member's own type, so a
fact without its key is a readable fact.
"""

from __future__ import annotations

from typing import Any

SEALED = "(sealed)"
Path = tuple[str, ...]

_ERROR = {"code": "sealed", "detail": SEALED}
_SPEC: dict[Path, Any] = {
    ("spec", "name"): None,
    ("spec", "title"): SEALED,
    ("spec", "params"): {},
    ("spec", "labels"): {},
    ("spec", "extra"): {},
}

PERSONAL: dict[str, dict[Path, Any]] = {
    "run.created.v1": _SPEC,
    "run.submitted.v1": _SPEC,
    "run.attempt_failed.v1": {("error",): _ERROR},
    "run.step_completed.v1": {("result",): None},
    "run.step_failed.v1": {("error",): _ERROR},
    "run.checkpointed.v1": {("data",): None},
    "run.effect_recorded.v1": {("response",): None, ("info",): {}},
    "run.cancel_requested.v1": {("reason",): ""},
    "run.completed.v1": {("result",): None},
    "run.failed.v1": {("error",): _ERROR},
    "run.cancelled.v1": {("reason",): ""},
    "name.claimed.v1": {("name",): SEALED},
    "file.uploaded.v1": {("name",): SEALED, ("labels",): {}},
    "dataset.created.v1": {("name",): SEALED, ("description",): "", ("labels",): {}},
    "dataset.version_added.v1": {("metadata",): {}},
    "model.created.v1": {("name",): SEALED, ("description",): "", ("labels",): {}},
    "model.version_added.v1": {("metadata",): {}},
}
"""Event type -> path of a member -> what stands there while it is sealed."""

ADDING = frozenset({
    "run.created.v1", "run.submitted.v1", "name.claimed.v1", "file.uploaded.v1", "dataset.created.v1",
    "dataset.version_added.v1", "model.created.v1", "model.version_added.v1",
})  # fmt: skip
"""What brings something new into being. Other facts go on with what there is, to its end at the least."""
