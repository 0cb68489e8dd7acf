"""``command``: any program as a run. See ``programs`` for what happens and ``lines`` for how it can report."""

from __future__ import annotations

from typing import Any

from trialbook.workload import workload as register
from trialbook_runner.workloads.programs import Program, execute

DESCRIPTION = (
    "Executes a program: its output becomes log lines, files that match the artifact patterns are stored, an exit code "
    "other than 0 fails the run. Lines that start with '::trialbook ' report progress, metrics, rows and a result."
)


@register("command", params=Program, title="Command", description=DESCRIPTION)
async def workload(ctx: Any, params: Program) -> dict[str, Any]:
    """Execute and return ``{exit_code, value, artifacts}``."""
    return await execute(ctx, params)
