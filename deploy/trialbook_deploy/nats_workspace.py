"""Whether a workspace exists, asked of the ledger itself: a user of one that does not would be refused everything."""

from __future__ import annotations

import base64

from trialbook import subjects
from trialbook.codec import decode_event
from trialbook.domain.workspace import Deleted
from trialbook.log.api import ApiError, call
from trialbook.log.connect import close, connect
from trialbook.streams import FACTS
from trialbook_deploy.errors import DeployError

NO_MESSAGE = 10037
NO_STREAM = 10059
WAIT_SECONDS = 3.0


async def require(nats_url: str, workspace: str) -> None:
    """Raises DeployError unless the workspace exists on that server, ``Unavailable`` when the server does not answer.

    ``nats_url`` has the services' credentials.
    """
    last = await _last_fact(nats_url, workspace)
    if last in ("", Deleted.TYPE):
        what = f"The workspace {workspace!r} was deleted" if last else f"There is no workspace {workspace!r} yet"
        raise DeployError(f"{what}: `POST /v1/workspaces` makes it. For one that comes later add --allow-missing.")


async def _last_fact(nats_url: str, workspace: str) -> str:
    """Type of the workspace's last fact; empty: there is none."""
    nc = await connect(nats_url, name="trialbook-nats", wait_s=WAIT_SECONDS)
    try:
        wanted = {"last_by_subj": subjects.facts_of(workspace, "workspace", workspace)}
        found = await call(nc, f"STREAM.MSG.GET.{FACTS}", wanted)
    except ApiError as error:
        if error.code not in (NO_MESSAGE, NO_STREAM):
            raise
        return ""
    finally:
        await close(nc)
    return decode_event(base64.b64decode(found["message"]["data"])).type
