"""The search algorithms over the registered businesses (facts, section 7)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from trialbook_marketplace import rnr
from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.protocol.actions import Search, SearchConstraints
from trialbook_marketplace.shingles import document, score, shingles

ALGORITHMS = ("simple", "rnr", "filtered", "lexical", "optimal")
UNAVAILABLE = f"search_algorithm 'rnr' needs optional packages that are not installed: {rnr.INSTALL}"
_CACHED_QUERIES = 1_024


class SearchError(ValueError):
    """A search that cannot be answered; the message says why."""


class SearchPage(Struct, frozen=True):
    """One page of hits; ``total`` counts before slicing, ``pages`` is 0 when there is no hit."""

    hits: Sequence[Business]
    total: int
    pages: int


class SearchIndex:
    """Answers searches over a fixed list of businesses in registration order."""

    def __init__(self, businesses: Sequence[Business], meaning: rnr.RetrieveAndRank | None = None) -> None:
        """``meaning`` answers ``rnr`` searches; loaded when first needed."""
        self._meaning = meaning
        # Sorted once: every algorithm starts from the stable order by rating, descending.
        self._ranked = sorted(businesses, key=lambda business: -business.rating)
        self._shingles: list[frozenset[str]] | None = None
        self._carriers: dict[str, set[int]] = {}
        for place, business in enumerate(self._ranked):
            for item in business.menu_features:
                self._carriers.setdefault(item, set()).add(place)
        self._lexical: OrderedDict[str, list[Business]] = OrderedDict()

    def search(self, request: Search, customer: Customer | None) -> SearchPage:
        """One page for ``request``; ``customer`` is the caller if it is one. Raises ``SearchError``."""
        if request.page < 1:
            raise SearchError("page must be at least 1")
        return _page(self._select(request, customer), request)

    def _select(self, request: Search, customer: Customer | None) -> Sequence[Business]:
        match request.search_algorithm:
            case "simple":
                return self._ranked
            case "filtered":
                return self._filtered(request.query, request.constraints or SearchConstraints())
            case "lexical":
                return self._by_shingles(request.query)
            case "optimal":
                if customer is None:
                    raise SearchError("search_algorithm 'optimal' needs a customer as caller")
                return self._carrying(customer.menu_features)
            case "rnr":
                return self._by_meaning(request.query)
            case unknown:
                raise SearchError(f"Unknown search_algorithm {unknown!r}")

    def _filtered(self, query: str, constraints: SearchConstraints) -> list[Business]:
        wanted = query.lower()
        return [
            business
            for business in self._ranked
            if (not wanted or wanted in business.name.lower() or wanted in business.description.lower())
            and _holds(constraints, business)
        ]

    def _by_shingles(self, query: str) -> Sequence[Business]:
        if not query:
            return self._ranked
        known = self._lexical.get(query)
        if known is None:
            if self._shingles is None:
                self._shingles = [shingles(document(business)) for business in self._ranked]
            asked = shingles(query)
            scores = [score(asked, found) for found in self._shingles]
            order = sorted(range(len(scores)), key=lambda place: -scores[place])
            known = self._lexical[query] = [self._ranked[place] for place in order]
            if len(self._lexical) > _CACHED_QUERIES:
                self._lexical.popitem(last=False)
        return known

    def _by_meaning(self, query: str) -> Sequence[Business]:
        if not query:
            return self._ranked
        if self._meaning is None:
            if not rnr.available():
                raise SearchError(UNAVAILABLE)
            self._meaning = rnr.load(self._ranked)
        return self._meaning.search(query)

    def _carrying(self, items: dict[str, Any]) -> list[Business]:
        if not items:
            return list(self._ranked)
        places = set.intersection(*(self._carriers.get(item, set()) for item in items))
        return [self._ranked[place] for place in sorted(places)]


def _holds(constraints: SearchConstraints, business: Business) -> bool:
    threshold = constraints.rating_threshold
    return (
        (threshold is None or business.rating >= threshold)
        and business.offers(constraints.amenity_features or [])
        and all(item in business.menu_features for item in constraints.menu_items or [])
    )


def _page(found: Sequence[Business], request: Search) -> SearchPage:
    total, limit = len(found), request.limit
    if limit <= 0:
        return SearchPage(found if request.page == 1 else [], total, 1 if total else 0)
    start = (request.page - 1) * limit
    return SearchPage(found[start : start + limit], total, math.ceil(total / limit))
