"""All routes of this package, in front of those with a scenario's id in the same place."""

from __future__ import annotations

from trialbook_gateway.dialects.algomancy.beyond import (
    archive_export,
    archive_import,
    comparison,
    events,
    exports,
    sweeps,
)

ROUTERS = (
    events.router,
    comparison.router,
    exports.router,
    sweeps.router,
    archive_export.router,
    archive_import.router,
)
