"""Long calls into a solver: in a thread, so that the scenario reports progress and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from trialbook.algomancy import Progress

LOOK_EVERY_S = 0.2
T = TypeVar("T")


def watched(solve: Callable[[], T], stop: Callable[[], None], progress: Progress, limit_s: float) -> T:
    """What ``solve`` returns. Meanwhile progress is the part of ``limit_s`` seconds that has passed, at most 99.

    When the scenario is cancelled ``stop`` asks the solver to return early, and the cancellation goes on.
    """
    began = progress.elapsed()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(solve)
        try:
            while not wait([answer], LOOK_EVERY_S).done:
                progress(min(99.0, 100 * (progress.elapsed() - began) / limit_s))
        except BaseException:
            stop()
            raise
        return answer.result()
