"""The search algorithms over the registered businesses (facts, section 7)."""

from __future__ import annotations

import asyncio
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

    def __init__(self, businesses: Sequence[Business], models: rnr.Models | None = None) -> None:
        """``models`` answer ``rnr`` searches; without them these are refused."""
        self._models = models
        self._meaning: rnr.RetrieveAndRank | None = None
        # Sorted once: every algorithm starts from the stable order by rating, descending.
        self._ranked = sorted(businesses, key=lambda business: -business.rating)
        self._shingles: list[frozenset[str]] | None = None
        self._carriers: dict[str, set[int]] = {}
        for place, business in enumerate(self._ranked):
            for item in business.menu_features:
                self._carriers.setdefault(item, set()).add(place)
        self._lexical: OrderedDict[str, list[Business]] = OrderedDict()
        self._meant: OrderedDict[str, list[Business]] = OrderedDict()

    async def prepare(self, request: Search) -> None:
        """Compute in a thread what would hold the event loop when ``request`` is searched for; one at a time."""
        query = request.query
        if request.search_algorithm == "rnr" and self._models and query and query not in self._meant:
            _keep(self._meant, query, await asyncio.to_thread(self._rank, query, self._models))

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
            known = _keep(self._lexical, query, [self._ranked[place] for place in order])
        return known

    def _by_meaning(self, query: str) -> Sequence[Business]:
        if not query:
            return self._ranked
        if self._models is None:
            raise SearchError("search_algorithm 'rnr' needs an experiment that was ordered with it")
        known = self._meant.get(query)
        return _keep(self._meant, query, self._rank(query, self._models)) if known is None else known

    def _rank(self, query: str, models: rnr.Models) -> list[Business]:
        if self._meaning is None:
            self._meaning = rnr.RetrieveAndRank(self._ranked, models.encoder, models.reranker)
        return self._meaning.search(query)

    def _carrying(self, items: dict[str, Any]) -> list[Business]:
        if not items:
            return list(self._ranked)
        places = set.intersection(*(self._carriers.get(item, set()) for item in items))
        return [self._ranked[place] for place in sorted(places)]


def _keep(answers: OrderedDict[str, list[Business]], query: str, found: list[Business]) -> list[Business]:
    """Remember an answer, and forget the oldest beyond the bound."""
    answers[query] = found
    if len(answers) > _CACHED_QUERIES:
        answers.popitem(last=False)
    return found


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
