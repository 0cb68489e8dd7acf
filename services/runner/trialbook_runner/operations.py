"""What an attempt may ask of its runner: steps, checkpoints, artifacts and child runs, carried out as facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId
from trialbook.errors import TooLarge
from trialbook.ports import BlobStore
from trialbook_runner.blobs import INLINE_BYTES, fetch_file, store_file, store_value
from trialbook_runner.children import Children
from trialbook_runner.effects import RunEffects
from trialbook_runner.execute.wire import (
    AnyOp,
    BeginStep,
    CancelChild,
    EndStep,
    FetchBlob,
    FindEffect,
    RunChild,
    SaveArtifact,
    SaveCheckpoint,
    SaveEffect,
    StepReply,
    encode,
)
from trialbook_runner.facts import AttemptFacts


class Operations:
    """Of one attempt; also the ``Channel`` of attempts in the runner's own process."""

    def __init__(
        self,
        facts: AttemptFacts,
        blobs: BlobStore,
        children: Children,
        max_artifact_bytes: int,
        effects: RunEffects,
    ) -> None:
        self._facts, self._blobs, self._children, self._effects = facts, blobs, children, effects
        self._attempt, self._max_artifact_bytes = facts.attempt, max_artifact_bytes

    async def request(self, op: AnyOp) -> Any:
        """Carry out an operation. Raises a ``Refusal`` for the workload, or ``Stale``."""
        match op:
            case BeginStep():
                return await self._begin(op)
            case EndStep():
                return await self._end(op)
            case SaveCheckpoint():
                data, blob = await store_value(self._blobs, encode(op.data))
                await self._facts.append(c.Checkpoint(attempt=self._attempt, data=data, blob=blob))
            case SaveArtifact():
                return await self._artifact(op)
            case RunChild() if (replayed := self._replayed) is not None:
                return await self._children.recorded(replayed, op.key)
            case RunChild():
                return await self._children.run(self._facts, op)
            case CancelChild() if self._replayed is None:
                await self._children.cancel(self._facts, op.key)
            case FindEffect() | SaveEffect():
                return await self._effects.request(op)
            case FetchBlob():
                await fetch_file(self._blobs, op.sha256, Path(op.path))
        return None

    @property
    def _replayed(self) -> AggregateId | None:
        """The original of a replay, whose children are not run again either."""
        source, own = self._effects.source, self._facts.aggregate
        return AggregateId(own.workspace, "run", source.run) if source.mode == "replay" else None

    async def _begin(self, op: BeginStep) -> StepReply:
        before = self._facts.state.steps.get(op.step)
        if before is not None and before.status == "completed":
            return StepReply(completed=True, result=before.result)
        await self._facts.append(c.StartStep(attempt=self._attempt, step=op.step, needs=op.needs))
        return StepReply(completed=False)

    async def _end(self, op: EndStep) -> None:
        if op.error is not None:
            await self._facts.append(c.FailStep(attempt=self._attempt, step=op.step, error=op.error))
            return
        if len(encode(op.result)) > INLINE_BYTES:
            raise TooLarge(
                "step_result_too_large",
                f"The result of step {op.step!r} exceeds {INLINE_BYTES} bytes; store it as an artifact.",
            )
        await self._facts.append(c.CompleteStep(attempt=self._attempt, step=op.step, result=op.result))

    async def _artifact(self, op: SaveArtifact) -> str:
        info = await store_file(self._blobs, Path(op.path), self._max_artifact_bytes)
        await self._facts.append(
            c.RecordArtifact(
                attempt=self._attempt, name=op.name, sha256=info.sha256, size=info.size, media_type=op.media_type
            )
        )
        return info.sha256
