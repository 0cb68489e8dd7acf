"""Users on NATS: ``cmd.<workspace>.<verb>`` and ``ask.<workspace>.<query>`` by request/reply, as HTTP requests are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trialbook import subjects
from trialbook_gateway.direct.commands import carry_out
from trialbook_gateway.direct.desk import Desk
from trialbook_gateway.direct.fair_queue import Bounds
from trialbook_gateway.direct.questions import ask
from trialbook_gateway.services import Services

MAX_OPEN = 256
"""Commands being carried out at once, and questions being answered, of all users."""
WAITING_BYTES = 8 * 1024 * 1024


@asynccontextmanager
async def desks(services: Services) -> AsyncIterator[None]:
    """Hear users for as long as the context lasts; the services have started."""
    settings = services.settings
    bounds = Bounds(
        open=settings.nats_user_open, waiting=settings.nats_user_waiting, bytes=WAITING_BYTES, total=MAX_OPEN
    )
    commands = Desk(services, subjects.COMMANDS_ALL, bounds, carry_out)
    questions = Desk(services, subjects.QUESTIONS_ALL, bounds, ask)
    await commands.start()
    await questions.start()
    try:
        yield
    finally:
        await commands.close()
        await questions.close()
