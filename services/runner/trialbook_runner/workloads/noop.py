"""``noop``: does nothing, at once. For measuring the stack and for trying it out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from trialbook.workload import workload as register


class Params(msgspec.Struct, forbid_unknown_fields=True):
    """``echo`` is returned as it is; ``sleep_ms`` milliseconds pass before that (at most ten seconds)."""

    echo: Any = None
    sleep_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 0.0


@register("noop", params=Params, isolation="inline", title="No operation", description="Returns what it is given.")
async def workload(_ctx: Any, params: Params) -> Any:
    """Return ``echo``."""
    if params.sleep_ms:
        await asyncio.sleep(params.sleep_ms / 1000)
    return params.echo
