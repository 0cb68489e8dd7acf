"""Search by meaning, with encoders that need no model: nearness and rank are the number of shared letters."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from tests.marketplace.builders import business
from trialbook_marketplace import rnr
from trialbook_marketplace.protocol.actions import Search
from trialbook_marketplace.rnr import RETRIEVED, RetrieveAndRank
from trialbook_marketplace.search import SearchIndex


class Letters:
    """Counts letters."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str], /, *, show_progress_bar: bool | None = None) -> Any:
        assert show_progress_bar is False
        self.encoded += len(texts)
        return [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]


class Shortest:
    """Prefers short documents."""

    def predict(self, pairs: Sequence[tuple[str, str]], /, *, show_progress_bar: bool | None = None) -> Any:
        assert show_progress_bar is False
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


class Sentences:
    """Takes what the package's ``SentenceTransformer`` takes, and gives rows of single precision as it does."""

    def __init__(self, model_name_or_path: str | None = None, *, device: str | None = None) -> None:
        self.name = model_name_or_path

    def encode(self, sentences: list[str], batch_size: int = 32, show_progress_bar: bool | None = None) -> Any:
        if show_progress_bar is None:
            raise AssertionError("it would draw progress bars")
        return [array("f", (len(text), 1.0)) for text in sentences]


class Pairs:
    """The same of ``CrossEncoder``."""

    def __init__(self, model_name_or_path: str, *, num_labels: int | None = None) -> None:
        self.name = model_name_or_path

    def predict(self, sentences: list[tuple[str, str]], batch_size: int = 32, **options: Any) -> Any:
        assert options == {"show_progress_bar": False}
        return array("f", (float(len(document)) for _, document in sentences))


def test_the_packages_models_are_loaded_by_their_documented_names(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Sentences | Pairs] = []

    def making(kind: type[Sentences | Pairs]) -> Callable[[str], Sentences | Pairs]:
        def make(name: str) -> Sentences | Pairs:
            made.append(kind(name))
            return made[-1]

        return make

    package = ModuleType("sentence_transformers")
    package.__dict__.update(SentenceTransformer=making(Sentences), CrossEncoder=making(Pairs))
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    found = rnr.load([business("b1", {"a": 1.0}), business("b2", {"a longer name": 1.0})]).search("a")
    assert [model.name for model in made] == ["multi-qa-MiniLM-L6-cos-v1", "cross-encoder/ms-marco-MiniLM-L6-v2"]
    assert [one.id for one in found] == ["b2", "b1"]
