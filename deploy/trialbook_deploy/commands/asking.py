"""Order something from the projector that may take long, and wait for its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

SECONDS = 24 * 3600.0
LOOK_S = 5.0
"""So often it is seen whether there still is somebody who can report."""


async def control(nc: Client, name: str, order: dict[str, Any], meanwhile: str) -> bytes:
    """The JSON of the report on `ask._.<name>`. Raises what the projector refuses."""
    import msgspec
    import nats.errors

    from trialbook import subjects
    from trialbook.errors import TimedOut, Unavailable, refusal
    from trialbook.queries import Answer
    from trialbook_deploy.commands.show import console

    try:
        with console(err=True).status(meanwhile):
            reply = await _reply(nc, subjects.ask("_", name), msgspec.json.encode(order))
    except nats.errors.NoRespondersError:
        raise Unavailable("no_projector", "No projector answers; is `trialbook up` running?") from None
    except nats.errors.TimeoutError:
        raise TimedOut("no_report", f"No report after {SECONDS / 3600:.0f} hours.") from None
    answer = msgspec.json.decode(reply.data, type=Answer)
    if answer.error is not None:
        error = answer.error
        raise refusal(error["kind"], error["code"], error["detail"], error.get("extra"))
    return bytes(answer.result or b"{}")


async def _reply(nc: Client, subject: str, order: bytes) -> Msg:
    """The reply. Raises ``Unavailable`` when the projector was started anew while it was at work: none will come."""
    import asyncio

    from trialbook.clock import SystemClock
    from trialbook.errors import Unavailable
    from trialbook.times import rfc3339

    asked_at = rfc3339(SystemClock().now())
    asked = asyncio.ensure_future(nc.request(subject, order, timeout=SECONDS))
    try:
        while not (await asyncio.wait({asked}, timeout=LOOK_S))[0]:
            started_at = await _started_at(nc)
            if started_at > asked_at and not (await asyncio.wait({asked}, timeout=LOOK_S))[0]:
                raise Unavailable(
                    "projector_restarted",
                    f"The projector was started anew at {started_at} and will not report. Repeat the command.",
                )
        return await asked
    finally:
        asked.cancel()


async def _started_at(nc: Client) -> str:
    """When the projector that answers now was started; empty when none answers."""
    import msgspec
    import nats.errors

    from trialbook import subjects
    from trialbook.queries import Answer, Health, ProjectorHealth

    try:
        reply = await nc.request(subjects.ask("_", Health.NAME), b"{}", timeout=LOOK_S)
    except nats.errors.Error:  # nobody is there at the moment
        return ""
    answer = msgspec.json.decode(reply.data, type=Answer)
    return msgspec.json.decode(answer.result, type=ProjectorHealth).started_at if answer.result is not None else ""
