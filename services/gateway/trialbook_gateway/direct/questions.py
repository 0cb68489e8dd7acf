"""Questions of users on NATS: content is read here, the others are passed on to a projector, which knows no users."""

from __future__ import annotations

from trialbook.asking import MEDIA_TYPE
from trialbook.errors import Invalid
from trialbook.outside import may_ask
from trialbook.queries import Sql
from trialbook_gateway.direct.commands import caller_of
from trialbook_gateway.direct.content import CONTENT, content
from trialbook_gateway.direct.desk import Answered, Asked
from trialbook_gateway.services import Services

SQL_S = 62.0
"""A statement may take a minute."""
_PASSED_ON = ("content-type", MEDIA_TYPE)


async def ask(services: Services, asked: Asked) -> Answered:
    """The projector's answer, which may be a refusal. Raises ``Unavailable`` when there is none."""
    if not may_ask(asked.name):
        raise Invalid("unknown_query", f"{asked.name[:80]!r} cannot be asked from outside; docs/nats.md says what can.")
    if asked.name in CONTENT:
        return await content(services, caller_of(services, asked, {}), asked.name, asked.message.data)
    timeout_s = SQL_S if asked.name == Sql.NAME else services.settings.ask_timeout_s
    reply = await services.ask.relay(asked.workspace, asked.name, asked.message.data, timeout_s)
    headers = {key: value for key, value in (reply.headers or {}).items() if key in _PASSED_ON}
    return Answered(reply.data, headers or None)
