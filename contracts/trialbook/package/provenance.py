"""What a run says about the bytes it produced: an in-toto Statement v1 with a SLSA Provenance v1 predicate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trialbook.domain.run import events as e
from trialbook.domain.run.state import Artifact
from trialbook.views import RunView

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:trialbook:run:v1"
"""External parameters are the run's order, internal ones how it was executed; dependencies are its inputs and the list
of installed packages."""
PACKAGE = "urn:trialbook:package:v1"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Who executed an attempt, in which environment, and when (RFC 3339; empty: not known, or not over)."""

    runner: str = ""
    environment: Mapping[str, str] = {}
    started_at: str = ""
    finished_at: str = ""


_ENDS = (e.AttemptLost, e.AttemptFailed, e.Paused, e.Completed, e.Failed, e.Cancelled)


def told(attempts: dict[int, Attempt], fact: e.RunEvent, at: str) -> None:
    """Note what a fact of the run tells of an attempt; ``at`` is the fact's time."""
    if isinstance(fact, e.Started):
        attempts[fact.attempt] = Attempt(runner=fact.runner, environment=fact.environment, started_at=at)
    elif isinstance(fact, _ENDS) and fact.attempt in attempts:
        attempts[fact.attempt] = msgspec.structs.replace(attempts[fact.attempt], finished_at=at)


def _dependencies(run: RunView, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    found = [{"name": f"input/{name}", "digest": {"sha256": digest}} for name, digest in sorted(run.inputs.items())]
    if packages := environment.get("packages"):
        found.append({"name": "environment/packages.txt", "digest": {"sha256": packages}})
    return found


def provenance(run: RunView, name: str, artifact: Artifact, attempt: Attempt) -> dict[str, Any]:
    """The statement about one artifact; ``attempt`` is the one that produced it."""
    versions = {key: value for key, value in attempt.environment.items() if key != "packages"}
    times = {"startedOn": attempt.started_at, "finishedOn": attempt.finished_at}
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": artifact.sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "workload": run.workload, "params": run.params, "seed": run.seed, "inputs": run.inputs,
                },
                "internalParameters": {
                    "isolation": run.isolation, "sandbox": run.sandbox, "pool": run.pool, "attempt": artifact.attempt,
                },
                "resolvedDependencies": _dependencies(run, attempt.environment),
            },
            "runDetails": {
                "builder": {"id": f"urn:trialbook:runner:{attempt.runner or 'unknown'}", "version": versions},
                "metadata": {
                    "invocationId": f"urn:trialbook:run:{run.workspace}:{run.id}#{artifact.attempt}",
                    **{key: time for key, time in times.items() if time},
                },
            },
        },
    }  # fmt: skip


def contents(run: RunView, files: Mapping[str, str], absent: Mapping[str, str]) -> dict[str, Any]:
    """The statement about a whole package: every file with its sha256.

    ``absent``: likewise what was not stored any more, such as personal data that was erased.
    """
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())],
        "predicateType": PACKAGE,
        "predicate": {
            "run": run.id,
            "workspace": run.workspace,
            "sequence": run.sequence,
            "status": run.status,
            "absent": dict(sorted(absent.items())),
        },
    }
