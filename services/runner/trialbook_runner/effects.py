"""A run's effects, the runner's side: facts, blobs for large responses, and in a replay those of the original."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.domain.run import RunState
from trialbook.domain.run import commands as c
from trialbook.domain.run.state import Effect
from trialbook.errors import Conflict
from trialbook.ports import BlobStore
from trialbook.workload import EffectMode, EffectSource
from trialbook_runner.blobs import INLINE_BYTES, load_value, store_value
from trialbook_runner.execute.wire import EffectOp, FindEffect, SaveEffect
from trialbook_runner.facts import AttemptFacts


class Original(msgspec.Struct, frozen=True):
    """The finished run that a replay repeats."""

    id: str
    state: RunState


class RunEffects:
    """Of one attempt. ``used`` are the recorded keys that were asked for, ``missed`` a replay's first other one."""

    def __init__(
        self, facts: AttemptFacts, blobs: BlobStore, *, retried: bool = False, original: Original | None = None
    ) -> None:
        """``retried``: the run failed before this attempt."""
        self._facts, self._blobs, self._original = facts, blobs, original
        mode: EffectMode = "replay" if original else "retry" if retried else "live"
        self.source = EffectSource(mode=mode, run=original.id if original else facts.aggregate.id)
        self.used: set[str] = set()
        self.missed: str | None = None

    @property
    def recorded(self) -> bool:
        """Whether there is anything to take; in a replay what is looked for in vain counts as well."""
        return self._original is not None or bool(self._facts.effects)

    async def request(self, op: EffectOp) -> Any:
        """Carry out an operation; replies are JSON-able. Raises ``Conflict`` for a record in a replay, or ``Stale``."""
        match op:
            case FindEffect():
                return await self._find(op.key)
            case SaveEffect():
                await self._save(op)
        return None

    async def _find(self, key: str) -> dict[str, Any] | None:
        effects = self._original.state.effects if self._original else self._facts.effects
        known: Effect | None = effects.get(key)
        if known is None:
            if self._original and self.missed is None:
                self.missed = key
            return None
        self.used.add(key)
        response = await load_value(self._blobs, known.response, known.blob)
        if isinstance(response, msgspec.Raw):  # recorded by this attempt
            response = msgspec.json.decode(response)
        return {"request_digest": known.request_digest, "response": response, "info": known.info}

    async def _save(self, op: SaveEffect) -> None:
        if self._original is not None:
            raise Conflict("replay_records_nothing", f"A replay makes no calls; {op.key!r} cannot be recorded.")
        await self._facts.append(await recording(self._blobs, self._facts.attempt, op))


async def recording(blobs: BlobStore, attempt: int, op: SaveEffect) -> c.RecordEffect:
    """The command that records an effect, once a large response is stored."""
    response: Any = op.response
    blob = None
    if len(bytes(op.response)) > INLINE_BYTES:
        response, blob = await store_value(blobs, bytes(op.response))
    return c.RecordEffect(
        attempt=attempt, key=op.key, request_digest=op.request_digest, response=response, blob=blob, info=op.info
    )
