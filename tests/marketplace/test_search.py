"""The search algorithms and the shingle score, with the examples of the facts."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.marketplace.builders import business, customer
from trialbook_marketplace.datasets import bundled_root, load_dataset
from trialbook_marketplace.protocol.actions import Search, SearchConstraints
from trialbook_marketplace.search import SearchError, SearchIndex
from trialbook_marketplace.shingles import document, normalise, score, shingles

A = business("a", {"Taco": 3.0}, {"Parking": True}, rating=0.5, name="Bakery Row", description="Bread and rolls.")
B = business("b", {"Taco": 3.0, "Soup": 2.0}, {"Parking": False}, rating=0.9, name="100% Sushi", description="Fish_")
C = business("c", {"Soup": 2.0}, {}, rating=0.5, name="Noodles", description="Warm BREAD too.")
INDEX = SearchIndex([A, B, C])


def ids(query: str, algorithm: str, constraints: SearchConstraints | None = None) -> list[str]:
    found = INDEX.search(Search(query, algorithm, constraints), customer())
    return [hit.id for hit in found.hits]


def similarity(query: str, text: str) -> float:
    return score(shingles(query), shingles(text))


def test_examples_of_the_facts() -> None:
    assert similarity("bakery", "bakery") == 1.0
    assert similarity("sushi", "bakery") == 0.0
    assert similarity("BaKeRy", "bakery") == similarity("bakery", "bakery")


def test_normalise() -> None:
    assert normalise("  It's  a\tTest_1! ") == " its a test_1 "
    assert shingles("a") == {" a  "}
    assert shingles("") == {"    "}
    assert shingles("abc") == {" abc", "abc "}


def test_document_text() -> None:
    assert document(B) == "100% Sushi, Fish_, Taco, Soup, "


def test_simple_is_by_rating_then_registration() -> None:
    assert ids("whatever", "simple") == ["b", "a", "c"]


def test_filtered_query_is_literal_and_case_insensitive() -> None:
    assert ids("bread", "filtered") == ["a", "c"]
    assert ids("", "filtered") == ["b", "a", "c"]
    assert ids("%", "filtered") == ["b"]
    assert ids("_", "filtered") == ["b"]
    assert ids("rolls. x", "filtered") == []


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (SearchConstraints(rating_threshold=0.5), ["b", "a", "c"]),
        (SearchConstraints(rating_threshold=0.51), ["b"]),
        (SearchConstraints(amenity_features=["Parking"]), ["a"]),
        (SearchConstraints(menu_items=["Taco", "Soup"]), ["b"]),
        (SearchConstraints(menu_items=["Cake"]), []),
        (SearchConstraints(0.9, [], ["Soup"]), ["b"]),
    ],
)
def test_filtered_constraints(constraints: SearchConstraints, expected: list[str]) -> None:
    assert ids("", "filtered", constraints) == expected


def test_lexical_order() -> None:
    assert ids("noodles", "lexical") == ["c", "b", "a"]
    assert ids("", "lexical") == ids("", "simple")
    assert ids("bakery row", "lexical")[0] == "a"


def test_optimal_uses_the_customer_and_ignores_amenities_and_query() -> None:
    assert ids("anything", "optimal") == ["b"]
    tacos = INDEX.search(Search("", "optimal"), customer(wants={"Taco": 1.0}))
    assert [hit.id for hit in tacos.hits] == ["b", "a"]
    assert INDEX.search(Search("", "optimal"), customer(wants={"Cake": 1.0})).hits == []


@pytest.mark.parametrize(
    ("request_", "caller", "reason"),
    [
        (Search("", "optimal"), None, "needs a customer"),
        (Search("taco", "rnr"), customer(), "an experiment that was ordered with it"),
        (Search("", "nonsense"), customer(), "Unknown search_algorithm 'nonsense'"),
        (Search("", "simple", page=0), customer(), "page must be at least 1"),
        (Search("", "simple", page=-3), customer(), "page must be at least 1"),
    ],
)
def test_refused(request_: Search, caller: object, reason: str) -> None:
    with pytest.raises(SearchError, match=reason):
        INDEX.search(request_, caller)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "page", "hits", "pages"),
    [
        (2, 1, ["b", "a"], 2),
        (2, 2, ["c"], 2),
        (2, 3, [], 2),
        (0, 1, ["b", "a", "c"], 1),
        (-1, 2, [], 1),
        (3, 1, None, 1),
    ],
)
def test_pages(limit: int, page: int, hits: list[str] | None, pages: int) -> None:
    found = INDEX.search(Search("", "simple", limit=limit, page=page), None)
    assert [hit.id for hit in found.hits] == (["b", "a", "c"] if hits is None else hits)
    assert (found.total, found.pages) == (3, pages)


def test_no_hit_has_no_page() -> None:
    empty = SearchIndex([]).search(Search("", "simple"), None)
    assert (empty.hits, empty.total, empty.pages) == ([], 0, 0)


def test_searching_many_queries_keeps_the_cache_bounded() -> None:
    index = SearchIndex([A, B, C])
    for number in range(1100):
        index.search(Search(f"query {number}", "lexical"), None)
    assert len(index._lexical) == 1024


WORDS = st.text(alphabet=string.ascii_lowercase + "_", min_size=1, max_size=8)
PUNCTUATION = st.sampled_from([mark for mark in string.punctuation if mark != "_"])
SHIPPED = SearchIndex(load_dataset(bundled_root() / "mexican_10_30").businesses)


@given(st.lists(WORDS, min_size=1, max_size=6), st.data())
def test_case_punctuation_and_blanks_do_not_change_the_lexical_order(words: list[str], data: st.DataObject) -> None:
    def noisy(word: str) -> str:
        upper = word.upper() if data.draw(st.booleans()) else word
        at = data.draw(st.integers(0, len(word)))
        return upper[:at] + data.draw(PUNCTUATION) + upper[at:]

    plain = " ".join(words)
    disturbed = data.draw(st.sampled_from([" ", "   ", "\t", "\n "])).join(map(noisy, words))
    expected = SHIPPED.search(Search(plain, "lexical", limit=0), None).hits
    assert SHIPPED.search(Search(disturbed, "lexical", limit=0), None).hits == expected


@given(st.text(max_size=40), st.text(max_size=40))
def test_score_laws(query: str, text: str) -> None:
    assert 0.0 <= similarity(query, text) <= 1.0
    assert similarity(query, query) == 1.0
    assert (similarity(query, text) == 0) == (similarity(text, query) == 0)


@given(st.text(max_size=40))
def test_shingles_have_length_four(text: str) -> None:
    found = shingles(text)
    assert found
    assert {len(shingle) for shingle in found} == {4}
