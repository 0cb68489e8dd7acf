"""The accounts of the NATS server: whether users from outside are kept apart from the services."""

from __future__ import annotations

import asyncio

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook_deploy.doctor.finding import Finding, ok, warn
from trialbook_deploy.doctor.web import get
from trialbook_deploy.nats_accounts import TAP, account

CHECK = "nats accounts"
GLOBAL = "$G"
INFO_SUBJECT = "$SYS.REQ.USER.INFO"
INFO_SECONDS = 2.0
USER_PREFIX = account("")


async def accounts(nc: Client, monitor_url: str | None) -> Finding:
    """Which account the services are in, how many users from outside there are, and who may listen without a name."""
    remedy = "Give the services an account of their own, as deploy/nats/nats.conf does."
    try:
        answer = msgspec.json.decode((await nc.request(INFO_SUBJECT, b"", timeout=INFO_SECONDS)).data)
        ours = str(answer["data"]["account"])
    except (nats.errors.Error, msgspec.MsgspecError, KeyError, TypeError) as error:
        return warn(CHECK, f"the server does not say which account this is: {error!r}", remedy)
    if ours == GLOBAL:
        text = "the services are in the server's global account: users from outside cannot be kept apart from them"
        return warn(CHECK, text, remedy)
    text = f"the services are in {ours}"
    if monitor_url is None:
        return ok(CHECK, text)
    try:
        names = (await asyncio.to_thread(get, f"{monitor_url.rstrip('/')}/accountz"))["accounts"]
    except (OSError, ValueError, KeyError) as error:
        return warn(CHECK, f"{text}; {monitor_url}/accountz does not answer as expected: {error!r}", remedy)
    users = sum(name.startswith(USER_PREFIX) for name in names)
    heard = "whoever is on this machine hears the taps of all workspaces" if TAP in names else "nobody listens nameless"
    return ok(CHECK, f"{text}; users from outside: {users}; {heard}")
