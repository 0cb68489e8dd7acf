"""What the routes work with beside the gateway's services, and where a request is."""

from __future__ import annotations

import msgspec
from starlette.requests import HTTPConnection

from trialbook.algomancy import Profile
from trialbook_gateway.dialects.algomancy.beginning import Beginning
from trialbook_gateway.dialects.algomancy.datasets import Datasets
from trialbook_gateway.dialects.algomancy.listing import Results
from trialbook_gateway.dialects.algomancy.loads import Loads
from trialbook_gateway.dialects.algomancy.scenarios import Scenarios
from trialbook_gateway.dialects.algomancy.sessions import Sessions
from trialbook_gateway.dialects.algomancy.settings import AlgomancySettings
from trialbook_gateway.services import Caller, Services, services_of


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """One of each for the whole dialect."""

    settings: AlgomancySettings
    profile: Profile
    sessions: Sessions
    datasets: Datasets
    scenarios: Scenarios
    loads: Loads
    results: Results
    beginning: Beginning


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a route needs to know of the session it is in; the caller's workspace is the session."""

    services: Services
    parts: Parts
    caller: Caller
    name: str


def parts_of(connection: HTTPConnection) -> Parts:
    """The parts of the app that serves a request."""
    parts: Parts = connection.app.state.parts
    return parts


async def room_of(connection: HTTPConnection, session: str) -> Room:
    """The session that a path names, by UUID or display name. Raises 404 and ``Forbidden``."""
    services, parts = services_of(connection), parts_of(connection)
    principal = services.anywhere(connection).principal
    id_, name = await parts.sessions.find(principal, session)
    await parts.beginning.ready(id_, parts.settings.initial_wait_s)
    caller = await services.for_data_subject(connection, services.anywhere(connection, id_))
    return Room(services=services, parts=parts, caller=caller, name=name)
