"""What the routes work with beside the gateway's services."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Depends
from starlette.requests import HTTPConnection

from trialbook_gateway.dialects.marketplace.datasets import Datasets
from trialbook_gateway.dialects.marketplace.history import Histories
from trialbook_gateway.dialects.marketplace.launch import Launcher
from trialbook_gateway.dialects.marketplace.stored import StoredDatasets
from trialbook_gateway.services import Caller, Services, services_of


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """One of each for the whole dialect."""

    datasets: Datasets
    stored: StoredDatasets
    launcher: Launcher
    histories: Histories


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a route needs to know of where it is."""

    services: Services
    parts: Parts
    caller: Caller


async def here(connection: HTTPConnection) -> Here:
    """The caller in its workspace. Raises ``Forbidden`` and ``NotFound``."""
    services = services_of(connection)
    return Here(services=services, parts=connection.app.state.parts, caller=await services.caller(connection))


Where = Annotated[Here, Depends(here)]
