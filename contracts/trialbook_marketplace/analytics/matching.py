"""Which items of a proposal are on a menu: exactly, or within an edit distance (facts, section 11)."""

from __future__ import annotations

from collections.abc import Iterable


def levenshtein(first: str, second: str) -> int:
    """Number of single-character insertions, deletions and substitutions between two texts."""
    previous = list(range(len(second) + 1))
    for row, one in enumerate(first, start=1):
        current = [row]
        for column, other in enumerate(second, start=1):
            substituted = previous[column - 1] + (one != other)
            current.append(min(previous[column] + 1, current[-1] + 1, substituted))
        previous = current
    return previous[-1]


def match_items(menu: Iterable[str], proposed: Iterable[str], distance: int) -> dict[str, str]:
    """Proposed name to menu name: exact matches, then greedily those within ``distance`` in lower case."""
    menu, proposed = list(menu), list(dict.fromkeys(proposed))
    matched = {name: name for name in proposed if name in set(menu)}
    if distance <= 0:
        return matched
    pairs = sorted(
        (found, item, name)
        for item in menu
        if item not in matched
        for name in proposed
        if name not in matched and (found := _within(item.lower(), name.lower(), distance)) is not None
    )
    used: set[str] = set()
    for _, item, name in pairs:
        if item not in used and name not in matched:
            used.add(item)
            matched[name] = item
    return matched


def closest(name: str, menu: Iterable[str]) -> tuple[str | None, int | None]:
    """The menu item nearest to ``name`` and its distance, ties by name; None for an empty menu."""
    ranked = sorted((levenshtein(name.lower(), item.lower()), item) for item in menu)
    return (ranked[0][1], ranked[0][0]) if ranked else (None, None)


def _within(first: str, second: str, distance: int) -> int | None:
    if abs(len(first) - len(second)) > distance:
        return None
    found = levenshtein(first, second)
    return found if found <= distance else None
