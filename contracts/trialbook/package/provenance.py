"""What a run says about the bytes it produced: an in-toto Statement v1 with a SLSA Provenance v1 predicate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trialbook.domain.run.state import Artifact
from trialbook.views import RunView

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:trialbook:run:v1"
"""External parameters are the run's order, internal ones how it was executed; dependencies are its inputs and the list
of installed packages."""
PACKAGE = "urn:trialbook:package:v1"


def _dependencies(run: RunView, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    found = [{"name": f"input/{name}", "digest": {"sha256": digest}} for name, digest in sorted(run.inputs.items())]
    if packages := environment.get("packages"):
        found.append({"name": "environment/packages.txt", "digest": {"sha256": packages}})
    return found


def provenance(run: RunView, name: str, artifact: Artifact, environment: Mapping[str, str]) -> dict[str, Any]:
    """The statement about one artifact; ``environment`` is that of the attempt that produced it."""
    versions = {key: value for key, value in environment.items() if key != "packages"}
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
                "resolvedDependencies": _dependencies(run, environment),
            },
            "runDetails": {
                "builder": {"id": f"urn:trialbook:runner:{run.runner or 'unknown'}", "version": versions},
                "metadata": {
                    "invocationId": f"urn:trialbook:run:{run.workspace}:{run.id}#{artifact.attempt}",
                    "startedOn": run.attempt_started_at or run.started_at,
                    "finishedOn": run.finished_at,
                },
            },
        },
    }  # fmt: skip


def contents(run: RunView, files: Mapping[str, str]) -> dict[str, Any]:
    """The statement about a whole package: every file with its sha256."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())],
        "predicateType": PACKAGE,
        "predicate": {"run": run.id, "workspace": run.workspace, "sequence": run.sequence, "status": run.status},
    }
