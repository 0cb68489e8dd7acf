"""When two names are too alike to stand in one dataset (facts, section 15.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_SMALL_WORDS = frozenset(re.findall(r"\w+", "the a an and with of in on to for at by from is it its s"))
_PUNCTUATION = re.compile(r"[^\w\s]|_")


def similar(first: str, second: str) -> bool:
    """True when one name contains the other, as written or as the sorted words that carry meaning."""
    return _alike(_forms(first), _forms(second))


def similar_pairs(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every pair of similar names, in the order given."""
    seen: list[tuple[str, tuple[str, str]]] = []
    for name in names:
        forms = _forms(name)
        for other, other_forms in seen:
            if _alike(forms, other_forms):
                yield other, name
        seen.append((name, forms))


class Distinct:
    """A growing set of names of which no two are similar."""

    def __init__(self) -> None:
        self._forms: list[tuple[str, str]] = []

    def accept(self, name: str) -> bool:
        """Take the name unless it is similar to one taken before; returns whether it was taken."""
        forms = _forms(name)
        if any(_alike(forms, other) for other in self._forms):
            return False
        self._forms.append(forms)
        return True


def _forms(name: str) -> tuple[str, str]:
    lowered = name.lower()
    words = _PUNCTUATION.sub(" ", lowered.replace("&", " and ")).split()
    return lowered, "".join(sorted(word for word in words if word not in _SMALL_WORDS))


def _alike(first: tuple[str, str], second: tuple[str, str]) -> bool:
    return any(one in other or other in one for one, other in zip(first, second, strict=True))
