"""From threads into a loop: order, ends, errors, leaving early, closing."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from trialbook.client.portal import READ_AHEAD_ITEMS, Blocking, Facade, Iterating, Portal


class Original:
    def __init__(self) -> None:
        self.closed = 0
        self.given = 0

    async def double(self, number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def count(self, to: int, *, fail: bool = False) -> AsyncIterator[int]:
        """Numbers."""
        try:
            for number in range(to):
                self.given = number
                yield number
            if fail:
                raise LookupError("the end")
        finally:
            self.closed += 1


class Blocked(Facade):
    double = Blocking(Original.double)
    count = Iterating(Original.count)


@pytest.fixture
def portal() -> Iterator[Portal]:
    one = Portal()
    yield one
    one.close()


def test_results_items_and_docstrings(portal: Portal) -> None:
    blocked = Blocked(Original(), portal)
    assert blocked.double(4) == 8
    assert list(blocked.count(5000)) == list(range(5000))
    assert list(blocked.count(0)) == []
    assert blocked.count.__doc__ == "Numbers."


def test_an_error_comes_behind_the_items(portal: Portal) -> None:
    items = Blocked(Original(), portal).count(3, fail=True)
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(LookupError, match="the end"):
        next(items)


def test_leaving_early_closes_and_reads_no_further(portal: Portal) -> None:
    original = Original()
    items = Blocked(original, portal).count(10**9)
    assert list(itertools.islice(items, 3)) == [0, 1, 2]
    items.close()  # type: ignore[attr-defined]
    assert original.closed == 1
    assert original.given <= 2 * READ_AHEAD_ITEMS + 3


def test_a_closed_portal_refuses(portal: Portal) -> None:
    blocked = Blocked(Original(), portal)
    portal.close()
    portal.close()
    with pytest.raises(RuntimeError, match="closed"):
        blocked.double(1)


def test_a_program_that_leaves_everything_open_ends() -> None:
    source = (
        "from tests.client.test_portal import Blocked, Original, Portal\n"
        "items = Blocked(Original(), Portal()).count(10**9)\n"
        "print(next(items))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
