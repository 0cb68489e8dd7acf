"""Directed acyclic graphs of named steps, as pure functions over ``name -> names it needs``."""

from __future__ import annotations

from collections.abc import Collection, Mapping

Needs = Mapping[str, Collection[str]]


def check(needs: Needs) -> None:
    """Raises ``ValueError`` for a need that is no step and for a cycle, naming them."""
    for name, wanted in needs.items():
        unknown = sorted(set(wanted) - set(needs))
        if unknown:
            raise ValueError(f"step {name!r} needs {unknown[0]!r}, which is not a step")
    order(needs)


def order(needs: Needs) -> list[str]:
    """All steps, each after what it needs; steps that are equally ready keep their given order."""
    placed: dict[str, None] = {}
    waiting = dict(needs)
    while waiting:
        ready = [name for name, wanted in waiting.items() if all(need in placed for need in wanted)]
        if not ready:
            raise ValueError(f"the steps {', '.join(map(repr, cycle(waiting)))} need each other in a circle")
        placed.update(dict.fromkeys(ready))
        for name in ready:
            del waiting[name]
    return list(placed)


def cycle(needs: Needs) -> list[str]:
    """One circle in a graph in which every step waits for another one of it."""
    path: dict[str, None] = {}
    name = next(iter(needs))
    while name not in path:
        path[name] = None
        name = next(need for need in needs[name] if need in needs)
    names = list(path)
    return names[names.index(name) :]


def ready(needs: Needs, done: Collection[str], begun: Collection[str]) -> list[str]:
    """Steps that may begin now."""
    return [name for name, wanted in needs.items() if name not in begun and all(need in done for need in wanted)]


def dependents(needs: Needs, names: Collection[str]) -> set[str]:
    """Every step that directly or indirectly needs one of ``names``."""
    found: set[str] = set()
    while True:
        more = {n for n, wanted in needs.items() if n not in found and any(w in names or w in found for w in wanted)}
        if not more:
            return found
        found |= more
