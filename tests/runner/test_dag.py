"""The laws of step graphs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook_runner.workloads import dag


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Acyclic graphs: a step needs only steps of a smaller rank; given in any order."""
    count = draw(st.integers(1, 12))
    needs = {
        f"s{n}": [f"s{m}" for m in draw(st.lists(st.integers(0, n - 1), unique=True, max_size=4))] if n else []
        for n in range(count)
    }
    names = draw(st.permutations(list(needs)))
    return {name: needs[name] for name in names}


@given(graphs())
def test_every_step_comes_once_and_after_its_needs(needs: dict[str, list[str]]) -> None:
    dag.check(needs)
    order = dag.order(needs)
    assert sorted(order) == sorted(needs)
    for name, wanted in needs.items():
        assert all(order.index(need) < order.index(name) for need in wanted)


@given(graphs(), st.data())
def test_executing_what_is_ready_reaches_every_step(needs: dict[str, list[str]], data: st.DataObject) -> None:
    done: list[str] = []
    while len(done) < len(needs):
        ready = dag.ready(needs, done, done)
        assert ready
        done.append(data.draw(st.sampled_from(ready)))
    assert dag.ready(needs, done, done) == []


@given(graphs(), st.data())
def test_a_closed_circle_is_found_and_named(needs: dict[str, list[str]], data: st.DataObject) -> None:
    order = dag.order(needs)
    last = data.draw(st.sampled_from(order))
    behind = dag.dependents(needs, [last]) | {last}
    first = data.draw(st.sampled_from(sorted(behind)))
    circular = {**needs, last: [*needs[last], first]}
    with pytest.raises(ValueError, match="circle"):
        dag.check(circular)
    waiting = {name: wanted for name, wanted in circular.items() if name in {first, last} | behind}
    found = dag.cycle({n: [w for w in ws if w in waiting] for n, ws in waiting.items() if n in _stuck(waiting)})
    for name, following in zip(found, [*found[1:], found[0]], strict=True):
        assert following in circular[name]


def _stuck(needs: dict[str, list[str]]) -> set[str]:
    """Steps that can never begin."""
    done: set[str] = set()
    while ready := [
        n for n, wanted in needs.items() if n not in done and all(w in done or w not in needs for w in wanted)
    ]:
        done |= set(ready)
    return set(needs) - done


@given(graphs(), st.data())
def test_dependents_are_exactly_what_cannot_be_reached_without(
    needs: dict[str, list[str]], data: st.DataObject
) -> None:
    failed = data.draw(st.sampled_from(sorted(needs)))
    reachable: set[str] = set()
    while ready := [n for n in dag.ready(needs, reachable, reachable) if n != failed]:
        reachable |= set(ready)
    assert dag.dependents(needs, [failed]) == set(needs) - reachable - {failed}


def test_an_unknown_need_is_named() -> None:
    with pytest.raises(ValueError, match="step 'a' needs 'b', which is not a step"):
        dag.check({"a": ["b"]})


def test_a_step_that_needs_itself() -> None:
    with pytest.raises(ValueError, match="'a'"):
        dag.check({"a": ["a"]})
