"""Search by meaning, with encoders that need no model: nearness and rank are the number of shared letters."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

import pytest

from tests.marketplace.builders import business, run
from trialbook.errors import Invalid
from trialbook_marketplace import rnr
from trialbook_marketplace.datasets import bundled_root, load_dataset
from trialbook_marketplace.protocol.actions import Search
from trialbook_marketplace.rnr import RETRIEVED, Models, RetrieveAndRank
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
    index = SearchIndex([*others, *places], Models(encoder, Shortest()))
    page = index.search(Search("zzz", "rnr", limit=3), None)
    assert [hit.id for hit in page.hits] == ["b0", "b1", "b2"]
    assert (page.total, page.pages) == (RETRIEVED, 11)
    index.search(Search("zzz", "rnr", limit=3, page=2), None)
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


def installed(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    """As if the optional package were installed, with these members."""
    package = ModuleType(rnr.PACKAGE)
    package.__spec__ = ModuleSpec(rnr.PACKAGE, None)
    package.__dict__.update(members)
    monkeypatch.setitem(sys.modules, rnr.PACKAGE, package)


def test_the_packages_models_are_loaded_by_name_or_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, SentenceTransformer=Sentences, CrossEncoder=Pairs)
    encoder, reranker = rnr.load(rnr.model_names({"TRIALBOOK_RNR_ENCODER": ""}))
    assert (cast(Sentences, encoder).name, cast(Pairs, reranker).name) == (
        "multi-qa-MiniLM-L6-cos-v1", "cross-encoder/ms-marco-MiniLM-L6-v2",
    )  # fmt: skip
    names = rnr.model_names({"TRIALBOOK_RNR_ENCODER": "/srv/e", "TRIALBOOK_RNR_RERANKER": "/srv/r"})
    encoder, reranker = rnr.load(names)
    assert (cast(Sentences, encoder).name, cast(Pairs, reranker).name) == ("/srv/e", "/srv/r")
    found = RetrieveAndRank([business("b1", {"a": 1.0}), business("b2", {"a longer name": 1.0})], encoder, reranker)
    assert [one.id for one in found.search("a")] == ["b2", "b1"]


def test_a_model_that_cannot_be_loaded_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Pairs:
        raise OSError("No such\n  file.")

    installed(monkeypatch, SentenceTransformer=Sentences, CrossEncoder=missing)
    with pytest.raises(Invalid) as caught:
        rnr.load(rnr.ModelNames(reranker="/srv/r"))
    assert caught.value.code == "search_model_unavailable"
    assert caught.value.detail.startswith(
        "The model '/srv/r' of search_algorithm 'rnr' cannot be loaded: No such file."
    )
    assert "TRIALBOOK_RNR_RERANKER" in caught.value.detail


class Lagging(Shortest):
    """Takes its time, each call another."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def predict(self, pairs: Sequence[tuple[str, str]], /, *, show_progress_bar: bool | None = None) -> Any:
        self.threads.append(threading.get_ident())
        time.sleep(0.004 * (len(self.threads) % 3))
        return super().predict(pairs, show_progress_bar=show_progress_bar)


def test_searches_leave_the_event_loop_free_and_the_order_of_rows_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    dataset = load_dataset(bundled_root() / "mexican_10_30")
    encoder, lagging = Letters(), Lagging()
    slow, quick = (
        run(dataset, search_models=models, search_algorithm="rnr", search_bandwidth=4)
        for models in (Models(encoder, lagging), Models(Letters(), Shortest()))
    )
    assert slow[0].status == "completed"
    assert (slow[1].agents, slow[1].actions, slow[1].logs) == (quick[1].agents, quick[1].actions, quick[1].logs)
    assert threading.get_ident() not in lagging.threads
    assert len(lagging.threads) == len({customer.request for customer in dataset.customers})
    assert encoder.encoded == len(dataset.businesses) + len(lagging.threads)
