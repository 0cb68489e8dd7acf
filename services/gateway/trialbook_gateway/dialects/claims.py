"""What a dialect says about the root paths it serves, and which dialect a request at the root means: pure functions."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["http", "websocket"]
_PARAMETER = re.compile(r"\{(\w+)(?::([^{}]*(?:\{\d+(?:,\d*)?\}[^{}]*)*))?\}")
BELOW = "/..."


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A root path that a dialect serves.

    ``path`` is spelled as documented: ``/api/experiments/{name}/status``. ``{x:<regular expression>}`` narrows a
    parameter; a path that ends in ``/...`` stands for itself and everything below it (so that unknown paths of a group
    are refused in the group's shape). On a path that several dialects claim, ``query`` names parameters that mean this
    dialect, and ``body`` the key of a JSON body that does.
    """

    path: str
    methods: frozenset[str] = frozenset()
    """Empty: all methods."""
    kind: Kind = "http"
    query: frozenset[str] = frozenset()
    body: str = ""
    own: bool = False
    """Of a group: nobody else has anything there, so that the dialect itself answers for unknown paths (404, 307)."""

    def matches(self, kind: Kind, path: str) -> bool:
        """Whether a request path is meant, whatever its method."""
        return self.kind == kind and _compiled(self.path).fullmatch(path) is not None

    def allows(self, method: str) -> bool:
        """Whether the method is served; HEAD is served like GET."""
        return not self.methods or method in self.methods or (method == "HEAD" and "GET" in self.methods)

    @property
    def rank(self) -> tuple[int, int]:
        """How particular the path is: exact ones before whole groups, then by the number of narrowed parameters."""
        narrowed = sum(1 for _, pattern in _PARAMETER.findall(self.path) if pattern)
        return (0 if self.path.endswith(BELOW) else 1, narrowed)


@functools.lru_cache(maxsize=1024)
def _compiled(path: str) -> re.Pattern[str]:
    below = path.endswith(BELOW)
    text, pattern, end = path.removesuffix(BELOW), "", 0
    for found in _PARAMETER.finditer(text):
        pattern += re.escape(text[end : found.start()]) + f"(?:{found[2] or '[^/]+'})"
        end = found.end()
    return re.compile(pattern + re.escape(text[end:]) + ("(?:/.*)?" if below else ""), re.DOTALL)


class Chosen(msgspec.Struct, frozen=True):
    """The request means this system; ``known`` False: its group, but no path that it documents."""

    system: str
    known: bool = True


class ByBody(msgspec.Struct, frozen=True):
    """The body decides: key -> system."""

    systems: dict[str, str]


class Shared(msgspec.Struct, frozen=True):
    """Several systems share the group and none of them has this path."""

    systems: tuple[str, ...]


class Unknown(msgspec.Struct, frozen=True):
    """No system serves the path."""


Decision = Chosen | ByBody | Shared | Unknown


def decide(
    claims: Mapping[str, Sequence[Claim]], kind: Kind, method: str, path: str, query: Collection[str] = ()
) -> Decision:
    """Which of the systems a root request means: by path, then by query names, then by the body's keys.

    ``claims`` maps the systems mounted at the root to their claims; ``method`` counts for HTTP only.
    """
    found = [(s, c) for s, listed in claims.items() for c in listed if c.matches(kind, path)]
    if not found:
        return Unknown()
    exact = [(s, c) for s, c in found if c.rank[0]]
    served = [(s, c) for s, c in exact if kind == "websocket" or c.allows(method)]
    # A known path with another method goes to whoever knows the path, for its 405; then whole groups, for their 404.
    for among in (served, exact, found):
        if among:
            return _among(among, query)
    raise AssertionError("there is at least one claim")


def _among(found: list[tuple[str, Claim]], query: Collection[str]) -> Decision:
    best = max(claim.rank for _, claim in found)
    ranked = [(system, claim) for system, claim in found if claim.rank == best]
    if len({system for system, _ in ranked}) == 1:
        return Chosen(ranked[0][0], known=best[0] == 1 or any(claim.own for _, claim in ranked))
    asked = [(system, claim) for system, claim in ranked if claim.query.intersection(query)]
    if asked:
        return Chosen(asked[0][0])
    open_ = [(system, claim) for system, claim in ranked if not claim.query]
    if len({system for system, _ in open_}) == 1:
        return Chosen(open_[0][0])
    keys = {claim.body: system for system, claim in open_ if claim.body}
    if keys:
        return ByBody(keys)
    return Shared(tuple(dict.fromkeys(system for system, _ in ranked)))
