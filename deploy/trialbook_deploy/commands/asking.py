"""Order something from the projector that may take long, and wait for its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nats.aio.client import Client

SECONDS = 24 * 3600.0


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
            reply = await nc.request(subjects.ask("_", name), msgspec.json.encode(order), timeout=SECONDS)
    except nats.errors.NoRespondersError:
        raise Unavailable("no_projector", "No projector answers; is `trialbook up` running?") from None
    except nats.errors.TimeoutError:
        raise TimedOut("no_report", f"No report after {SECONDS / 3600:.0f} hours.") from None
    answer = msgspec.json.decode(reply.data, type=Answer)
    if answer.error is not None:
        error = answer.error
        raise refusal(error["kind"], error["code"], error["detail"], error.get("extra"))
    return bytes(answer.result or b"{}")
