"""Questions of users on NATS, passed on to a projector: it knows no users, and answers many times as many for us."""

from __future__ import annotations

from trialbook.asking import MEDIA_TYPE
from trialbook.errors import Invalid
from trialbook.outside import may_ask
from trialbook.queries import Sql
from trialbook_gateway.direct.desk import Answered, Asked
from trialbook_gateway.services import Services

SQL_S = 62.0
"""A statement may take a minute."""
_PASSED_ON = ("content-type", MEDIA_TYPE)


async def ask(services: Services, asked: Asked) -> Answered:
    """The projector's answer, which may be a refusal. Raises ``Unavailable`` when there is none."""
    if not may_ask(asked.name):
        raise Invalid("unknown_query", f"{asked.name[:80]!r} cannot be asked from outside.")
    timeout_s = SQL_S if asked.name == Sql.NAME else services.settings.ask_timeout_s
    reply = await services.ask.forward(asked.workspace, asked.name, asked.message.data, timeout_s)
    headers = {key: value for key, value in (reply.headers or {}).items() if key in _PASSED_ON}
    return Answered(reply.data, headers or None)
