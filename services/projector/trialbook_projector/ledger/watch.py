"""What is known of the ledger's state, and telling it to everybody on ``presence.ledger.<id>``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook import subjects
from trialbook.audit.findings import Finding
from trialbook.clock import Clock
from trialbook.errors import Unavailable
from trialbook.ids import UUIDv7Source
from trialbook.proofs import LedgerInfo
from trialbook.times import rfc3339

log = logging.getLogger(__name__)
MAX_SHOWN = 100
ID_FILE = "projector.id"


class Watch:
    """The state. ``set`` changes it; what changed is told by ``tell``."""

    def __init__(self, nc: Client, clock: Clock, data_dir: Path) -> None:
        self._nc, self._clock = nc, clock
        self.info = LedgerInfo(id=projector_id(data_dir), state="verifying", changed_at=rfc3339(clock.now()))
        self._told: LedgerInfo | None = None

    @property
    def damaged(self) -> bool:
        """Whether the ledger does not hold what was written."""
        return self.info.state == "damaged"

    def must_be_intact(self) -> None:
        """Raises ``Unavailable`` (code ``ledger_damaged``) when it is not."""
        if self.damaged:
            raise ledger_damaged(self.info)

    def set(self, **changes: object) -> None:
        """Change members of the state; damage stays damage until the projector starts again."""
        if self.damaged:
            changes.pop("state", None)
        self.info = msgspec.structs.replace(self.info, **changes)

    def verified(self, facts: int) -> None:
        """A whole verification found nothing; that takes back no damage found before."""
        if self.damaged:
            return
        self.set(state="verified", checked=facts, total=facts, verified_at=rfc3339(self._clock.now()))

    def damage(self, findings: Sequence[Finding], deviations: int = 0) -> None:
        """The ledger deviates from what was written or signed."""
        kept = [*self.info.findings, *(finding for finding in findings if finding not in self.info.findings)]
        self.info = msgspec.structs.replace(
            self.info, state="damaged", findings=kept[:MAX_SHOWN], deviations=max(deviations, len(kept)),
            changed_at=rfc3339(self._clock.now()),
        )  # fmt: skip
        log.error("the ledger is damaged: %s", "; ".join(finding.text for finding in kept[:10]))

    async def tell(self) -> None:
        """Announce the state if it is another one than was announced last."""
        now = msgspec.structs.replace(self.info, size=0, root="", checked=0)
        if now == self._told:
            return
        try:
            await self._nc.request(
                subjects.presence("ledger", self.info.id), msgspec.json.encode(self.info), timeout=2.0
            )
        except (nats.errors.Error, OSError) as error:
            log.warning("could not announce the state of the ledger (%s); trying again", type(error).__name__)
        else:
            self._told = now


def ledger_damaged(info: LedgerInfo) -> Unavailable:
    """The refusal of everything that would need a ledger that can be believed."""
    return Unavailable("ledger_damaged", info.why, findings=msgspec.to_builtins(info.findings[:10]))


def projector_id(data_dir: Path) -> str:
    """The name of this data directory's projector: it stays, so that its next state replaces its last one, also when
    tables and hashes are thrown away.
    """
    path = data_dir / ID_FILE
    if path.exists():
        return path.read_text().strip()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = UUIDv7Source().new()
    path.write_text(name + "\n")
    return name
