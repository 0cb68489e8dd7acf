"""Search by meaning, with encoders that need no model: nearness and rank are the number of shared letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.marketplace.builders import business
from trialbook_marketplace.protocol.actions import Search
from trialbook_marketplace.rnr import RETRIEVED, RetrieveAndRank
from trialbook_marketplace.search import SearchIndex


class Letters:
    """Counts letters."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> Any:
        self.encoded += len(texts)
        return [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]


class Shortest:
    """Prefers short documents."""

    def predict(self, pairs: Sequence[tuple[str, str]]) -> Any:
        return [-float(len(document)) for _, document in pairs]


def test_the_nearest_are_retrieved_and_ranked_anew() -> None:
    places = [business(f"b{n}", {"zzz" * (n + 1): 1.0}) for n in range(RETRIEVED)]
    others = [business(f"o{n}", {"aeiou" * 40: 1.0}) for n in range(5)]
    encoder = Letters()
    index = SearchIndex([*others, *places], RetrieveAndRank([*others, *places], encoder, Shortest()))
    page = index.search(Search("zzz", "rnr", limit=3), None)
    assert [hit.id for hit in page.hits] == ["b0", "b1", "b2"]
    assert (page.total, page.pages) == (RETRIEVED, 11)
    index.search(Search("zz", "rnr", limit=3), None)
    assert encoder.encoded == RETRIEVED + 5 + 2


def test_an_empty_query_gives_the_order_by_rating() -> None:
    found = SearchIndex([business("b1"), business("b2")]).search(Search("", "rnr", limit=9), None)
    assert [hit.id for hit in found.hits] == ["b1", "b2"]
