"""Which workspaces exist: followed from the ledger, so that checking one costs a dictionary look-up."""

from __future__ import annotations

from nats.aio.client import Client

from trialbook import subjects
from trialbook.aggregates import WORKSPACE
from trialbook.codec import UnknownEvent, decode_event, fact_of
from trialbook.domain import workspace as domain
from trialbook.domain.workspace import WorkspaceState
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict, NotFound
from trialbook.handle import Handler, Outcome
from trialbook.log.tail import Message
from trialbook.streams import FACTS
from trialbook_gateway.follow import Follower


def aggregate(id_: str) -> AggregateId:
    """A workspace lives in itself."""
    return AggregateId(id_, "workspace", id_)


class Workspaces:
    """The workspaces as this gateway knows them; an unknown one is looked up in the ledger before it is refused."""

    def __init__(self, nc: Client, handler: Handler) -> None:
        self._handler = handler
        self._states: dict[str, tuple[int, WorkspaceState]] = {}
        self._follower = Follower(nc, FACTS, [subjects.facts_of(kind="workspace")], self._apply)

    async def start(self, wait_s: float) -> None:
        """Begin to follow, and wait up to ``wait_s`` seconds for what is there already."""
        await self._follower.start(wait_s)

    async def close(self) -> None:
        """Stop following."""
        await self._follower.close()

    async def ensure(self, id_: str, meta: Metadata) -> None:
        """Create a workspace unless it exists (or was deleted by somebody)."""
        loaded = await self._handler.load(aggregate(id_))
        if loaded.state.exists:
            self._set(id_, loaded.sequence, loaded.state)
            return
        try:
            self.applied(id_, await self._handler.handle(aggregate(id_), domain.Create(title=id_), meta, loaded))
        except Conflict:  # another gateway was quicker
            return

    def applied(self, id_: str, outcome: Outcome[WorkspaceState]) -> None:
        """Take in a command's outcome at once instead of waiting for its fact to come by."""
        self._set(id_, outcome.sequence, outcome.state)

    async def require(self, id_: str, *, deleted: bool = False) -> None:
        """Raises ``NotFound`` (code ``workspace_not_found``) unless the workspace exists and is not deleted; with
        ``deleted`` it may be, because somebody looks back.
        """
        known = self._states.get(id_)
        if known is None:
            loaded = await self._handler.load(aggregate(id_))
            if loaded.sequence:
                self._set(id_, loaded.sequence, loaded.state)
            known = (loaded.sequence, loaded.state)
        if not known[1].exists or (known[1].deleted and not deleted):
            raise NotFound("workspace_not_found", f"There is no workspace {id_!r}; POST /v1/workspaces creates one.")

    def state(self, id_: str) -> WorkspaceState:
        """The state of a workspace that ``require`` has let pass."""
        return self._states[id_][1]

    def live(self) -> list[tuple[str, WorkspaceState]]:
        """Id and state of every workspace that is not deleted, in creation order."""
        found = [(id_, state) for id_, (_, state) in self._states.items() if state.exists and not state.deleted]
        return sorted(found, key=lambda item: item[1].created_at)

    def _set(self, id_: str, sequence: int, state: WorkspaceState) -> None:
        known = self._states.get(id_)
        if known is None or sequence > known[0]:
            self._states[id_] = (sequence, state)

    def _apply(self, message: Message) -> None:
        event = decode_event(message.data)
        id_ = subjects.aggregate_of(event).id
        known = self._states.get(id_)
        if known is not None and message.sequence <= known[0]:
            return
        state = known[1] if known else WORKSPACE.decider.initial()
        try:
            fact = fact_of(event)
        except UnknownEvent as error:
            raise ValueError(str(error)) from error
        self._set(id_, message.sequence, WORKSPACE.decider.evolve(state, fact, event.time))
