"""The verdict of a replay: whether the run ended as the original did, and else where they parted."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.domain.run import RunState
from trialbook.envelope import AggregateId
from trialbook.handle import Handler, Loaded
from trialbook.ports import BlobStore
from trialbook_runner.blobs import load_value
from trialbook_runner.differences import first_difference
from trialbook_runner.effects import Original, RunEffects
from trialbook_runner.execute.failures import failed
from trialbook_runner.execute.wire import Verdict, encode

SHOWN_KEYS = 20
DIVERGED = "replay_diverged"


async def original_of(handler: Handler, workspace: str, run: str) -> Original | None:
    """The run to repeat; None when it is not there or has not ended."""
    loaded: Loaded[Any] = await handler.load(AggregateId(workspace, "run", run))
    return Original(run, loaded.state) if loaded.state.terminal else None


def not_replayable(run: str) -> Verdict:
    """The verdict when there is no original."""
    return failed("run_not_replayable", f"Run {run} does not exist or has not ended.")


async def compared(verdict: Verdict, original: Original, effects: RunEffects, blobs: BlobStore) -> Verdict:
    """A replay that came to any end has completed; its result is ``{equal, divergence, replay_of, network}``.

    ``network`` has the ``wall`` that kept the process from networks (namespace, seccomp, none; null when it died before
    it could tell) and ``refused``, the addresses that it wanted to reach.
    """
    if verdict.status not in ("completed", "failed"):
        return verdict
    divergence = await _divergence(verdict, original, effects, blobs)
    result = {"equal": divergence is None, "divergence": divergence, "replay_of": original.id}
    result["network"] = {"wall": verdict.wall or None, "refused": verdict.refused}
    return Verdict(status="completed", result=msgspec.Raw(encode(result)))


async def _divergence(
    verdict: Verdict, original: Original, effects: RunEffects, blobs: BlobStore
) -> dict[str, Any] | None:
    """``kind`` is ``call``, ``calls_not_made``, ``verdict`` or ``result``; ``difference`` says it in words."""
    error, state = verdict.error, original.state
    if error.get("code") == DIVERGED:
        return {"kind": "call", "key": error.get("key"), "difference": error.get("difference") or error.get("detail")}
    difference = await _difference(verdict, state, blobs)
    if difference is not None and effects.missed is not None:
        # A call that was looked for in vain need not matter: a budget may have forbidden it in the original, too.
        return {"kind": "call", "key": effects.missed, "difference": f"no such call was recorded; {difference[1]}"}
    if difference is not None:
        return {"kind": difference[0], "difference": difference[1]}
    if state.status == "failed":
        return None  # a failure ends what runs beside it, sooner or later
    if unused := sorted(state.effects.keys() - effects.used):
        text = f"{len(unused)} recorded calls were not made"
        return {"kind": "calls_not_made", "keys": unused[:SHOWN_KEYS], "difference": text}
    return None


async def _difference(verdict: Verdict, state: RunState, blobs: BlobStore) -> tuple[str, str] | None:
    """Between the ends themselves: its kind and its description."""
    error = verdict.error
    if verdict.status != state.status:
        old, new = _ended(state.status, state.error or {}), _ended(verdict.status, error)
        return "verdict", f"the run {new} instead of {old}"
    if verdict.status == "failed":
        was, now = ({name: found.get(name) for name in ("code", "detail")} for found in (state.error or {}, error))
        difference = first_difference(was, now)
        return ("verdict", difference) if difference else None
    result = await load_value(blobs, state.result, state.result_blob)
    difference = first_difference(result, msgspec.json.decode(verdict.result), "result")
    return ("result", difference) if difference else None


def _ended(status: str, error: dict[str, Any]) -> str:
    return f"{status} ({error.get('code')}: {error.get('detail')})" if error else status
