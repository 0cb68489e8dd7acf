"""How the service is: real parts only, with the bodies of the documented health routes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec

from trialbook.errors import Refusal
from trialbook.queries import Health, ProjectorHealth
from trialbook.times import rfc3339
from trialbook_gateway.services import Services

VERSION = version("trialbook")
PROJECTOR_TIMEOUT_S = 1.0
RETRY_AFTER_S = 1


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``healthy``; ``degraded``: all works, but no runner is live or the projector lags; ``unhealthy``."""

    status: str
    services: dict[str, str]
    projector: ProjectorHealth | None
    why: str = ""
    """What is damaged."""

    @property
    def http_status(self) -> int:
        """200, or 503 when unhealthy."""
        return 503 if self.status == "unhealthy" else 200

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` when unhealthy: every part comes back by itself."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status == "unhealthy" else {}


async def report(services: Services) -> Report:
    """Ask every part."""
    nats = "healthy" if services.started and services.nc.is_connected else "unhealthy"
    projector = await _projector(services) if nats == "healthy" else None
    states = {"api": "healthy", "nats": nats, "projector": "unhealthy", "runners": "unhealthy"}
    if projector is not None:
        lagging = projector.lag_facts + projector.lag_signals > services.settings.ready_lag_messages
        states["projector"] = "degraded" if lagging else "healthy"
    if (damage := services.damage()) is not None:
        states["ledger"] = "unhealthy"
    if services.started and any(runner.live for runner in services.directory.runners()):
        states["runners"] = "healthy"
    if "unhealthy" in (states["nats"], states["projector"], states.get("ledger")):
        return Report(status="unhealthy", services=states, projector=projector, why=damage.why if damage else "")
    status = "healthy" if states["projector"] == states["runners"] == "healthy" else "degraded"
    return Report(status=status, services=states, projector=projector)


async def _projector(services: Services) -> ProjectorHealth | None:
    try:
        answer = await services.ask.ask("_", Health(), PROJECTOR_TIMEOUT_S)
        found = msgspec.json.decode(answer.result or b"null", type=ProjectorHealth)
    except (Refusal, msgspec.ValidationError):
        return None
    services.telemetry.lag.labels("facts").set(found.lag_facts)
    services.telemetry.lag.labels("signals").set(found.lag_signals)
    return found


def union_body(services: Services, found: Report) -> dict[str, Any]:
    """The body of ``/health`` at the root, which has the members of every dialect's own."""
    sessions = [{"id": id_, "display_name": state.title} for id_, state in services.workspaces.live()]
    return {
        "status": found.status,
        "version": VERSION,
        "service": "trialbook",
        "title": "Trialbook",
        "timestamp": rfc3339(services.clock.now()),
        "services": found.services,
        **({"detail": found.why} if found.why else {}),
        "sessions": sessions,
        "workflows_available": "orchestrator" in services.directory.available(),
        "orchestrator_initialized": False,
    }
