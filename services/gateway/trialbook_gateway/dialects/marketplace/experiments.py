"""An experiment is the run that bears its name: finding it, and its state in the API's words."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.domain.run.state import TERMINAL, Artifact
from trialbook.errors import Invalid, NotFound, Unavailable
from trialbook.queries import RunGet
from trialbook_gateway.dialects.marketplace.errors import bad_request, not_found
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.services import Caller, Services
from trialbook_marketplace.config import check_lookup_name

DIALECT = "marketplace"
SCOPE = "run"
LABEL = "experiment"
CANCELLED = "Cancelled"
NOT_FOUND = "Experiment '{}' not found"
MAX_MOVES = 24
"""So often a name may be taken over while it is looked up."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What this API needs of a run's view."""

    id: str
    name: str | None
    dialect: str
    status: str
    attempt: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: dict[str, Any] | None
    signal_sequence: int
    sequence: int
    seed: int = 0
    params: dict[str, Any] = {}
    labels: dict[str, str] = {}
    artifacts: dict[str, Artifact] = {}

    @property
    def finished(self) -> bool:
        """Whether its verdict is given."""
        return self.status in TERMINAL

    @property
    def signals(self) -> int:
        """Up to which signal everything must be readable: to the end, once it is finished."""
        return self.signal_sequence if self.finished else 0


class _Named(msgspec.Struct, frozen=True):
    name: str | None
    dialect: str


_decode = msgspec.json.Decoder(Experiment).decode
_named = msgspec.json.Decoder(_Named).decode


async def owner_of(services: Services, workspace: str, name: str) -> tuple[str, int]:
    """The run that bears a name (empty: none) and the sequence of the fact that says so, from the ledger itself."""
    loaded = await services.handler.load(name_aggregate(workspace, SCOPE, name))
    return str(loaded.state.owner), loaded.sequence


async def read(services: Services, workspace: str, run: str, at_least: int) -> Experiment | None:
    """A run's view at ``at_least`` or later; None when it is deleted or no experiment.

    A verdict that this gateway has seen is in the view, whichever projector answers.
    """
    known = max(at_least, services.verdicts.known(workspace, run))
    try:
        answer = await services.ask.ask(workspace, RunGet(id=run, at_least=known), services.settings.ask_timeout_s)
    except NotFound:
        return None
    view = answer.result or b"null"
    named = _named(view)
    if named.dialect != DIALECT or named.name is None:  # an erased one has no name any more
        return None
    return _decode(view)


async def look_up(services: Services, caller: Caller, name: str) -> Experiment | None:
    """The experiment of a name, None when there is none. Raises 400 for a malformed name.

    Who bears the name is read from the ledger, so that a client that has just created it finds it at once.
    """
    check_name(name)
    owner, sequence = await owner_of(services, caller.workspace, name)
    for _ in range(MAX_MOVES):
        found = await read(services, caller.workspace, owner, sequence) if owner else None
        if found is not None and found.status != "cancelled":
            return found
        # Whoever takes the name over cancels its bearer in the same append: that never stood under the name.
        before, (owner, sequence) = owner, await owner_of(services, caller.workspace, name)
        if owner == before:
            return found
    raise Unavailable("contention", f"Others keep replacing the experiment '{name}'; try again.")


async def require(services: Services, caller: Caller, name: str, text: str = NOT_FOUND) -> Experiment:
    """As ``look_up``. Raises 404 with ``text``."""
    found = await look_up(services, caller, name)
    if found is None:
        raise missing(name, text)
    return found


def missing(name: str, text: str = NOT_FOUND) -> HttpRefusal:
    """The 404 of an unknown experiment."""
    return not_found("experiment_not_found", text.format(name))


def check_name(name: str) -> None:
    """Raises 400 with the documented text."""
    try:
        check_lookup_name(name)
    except Invalid as error:
        raise bad_request(error) from None


def status_of(experiment: Experiment) -> str:
    """pending, running, completed or failed. What ran once is never pending again, also between two attempts."""
    match experiment.status:
        case "completed":
            return "completed"
        case "failed" | "cancelled":
            return "failed"
        case "running":
            return "running"
        case _:
            return "running" if experiment.started_at else "pending"


def error_of(experiment: Experiment) -> str | None:
    """Why it failed; None unless it did."""
    if experiment.status == "cancelled":
        return CANCELLED
    if experiment.status != "failed":
        return None
    error = experiment.error or {}
    return str(error.get("detail") or error.get("code") or "Failed")


def state_of(experiment: Experiment) -> dict[str, Any]:
    """The documented five keys."""
    return {
        "name": experiment.name,
        "status": status_of(experiment),
        "started_at": experiment.started_at,
        "completed_at": experiment.finished_at,
        "error": error_of(experiment),
    }
