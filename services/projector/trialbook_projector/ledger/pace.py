"""When the next checkpoint is due: it costs a signature and one append, and protects every fact before it."""

from __future__ import annotations

IDLE_S = 1.0
"""Without a new fact for so long, what is there is signed soon."""
SOONER = 6
"""By so many times: idle ledgers are signed after a sixth of the usual time at the earliest."""


class Pace:
    """``usual_s`` seconds between two checkpoints while facts come all the time; times are monotonic seconds."""

    def __init__(self, usual_s: float, now: float) -> None:
        self._usual_s = usual_s
        self.look_s = min(IDLE_S, usual_s)
        """Seconds between two questions."""
        self._size, self._changed, self._last = -1, now, now

    def due(self, size: int, signed: int, now: float) -> bool:
        """Whether a tree of ``size`` of which ``signed`` facts are signed is to be signed now."""
        if size != self._size:
            self._size, self._changed = size, now
        idle = now - self._changed >= IDLE_S
        if size <= signed or now - self._last < (self._usual_s / SOONER if idle else self._usual_s):
            return False
        self._last = now
        return True
