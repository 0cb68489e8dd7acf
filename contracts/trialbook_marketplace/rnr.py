"""Retrieve and rank: the optional search by meaning (facts, section 7). Its models are loaded at the first search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from operator import mul
from typing import Any, Protocol

from trialbook_marketplace.models import Business
from trialbook_marketplace.shingles import document

PACKAGE = "sentence_transformers"
INSTALL = "pip install 'trialbook[rnr]'"
BI_ENCODER, CROSS_ENCODER = "multi-qa-MiniLM-L6-cos-v1", "cross-encoder/ms-marco-MiniLM-L6-v2"
RETRIEVED = 32


class Encoder(Protocol):
    """Turns texts into vectors, one row each."""

    def encode(self, texts: list[str], /, *, show_progress_bar: bool | None = None) -> Any:
        """Rows of floats."""
        ...


class Reranker(Protocol):
    """Scores pairs of query and document; more is better."""

    def predict(self, pairs: list[tuple[str, str]], /, *, show_progress_bar: bool | None = None) -> Any:
        """One float per pair."""
        ...


def available() -> bool:
    """Whether the optional packages are installed."""
    return find_spec(PACKAGE) is not None


class RetrieveAndRank:
    """Over a fixed list of businesses, whose vectors are computed once.

    The package draws progress bars where logging shows INFO, and those would be lines of the experiment's log.
    """

    def __init__(self, businesses: Sequence[Business], encoder: Encoder, reranker: Reranker) -> None:
        self._businesses, self._encoder, self._reranker = list(businesses), encoder, reranker
        self._documents = [document(business) for business in businesses]
        self._vectors = _unit(encoder.encode(self._documents, show_progress_bar=False))

    def search(self, query: str) -> list[Business]:
        """The ``RETRIEVED`` nearest, in the order of the reranker; ties keep the order of the list."""
        [asked] = _unit(self._encoder.encode([query], show_progress_bar=False))
        near = [sum(map(mul, asked, vector)) for vector in self._vectors]
        found = sorted(range(len(near)), key=lambda place: -near[place])[:RETRIEVED]
        pairs = [(query, self._documents[place]) for place in found]
        scores = self._reranker.predict(pairs, show_progress_bar=False)
        ranked = sorted(zip(found, scores, strict=True), key=lambda pair: -float(pair[1]))
        return [self._businesses[place] for place, _ in ranked]


def load(businesses: Sequence[Business]) -> RetrieveAndRank:
    """With the documented models, which are fetched when they are first used. Raises ``ImportError``."""
    package = import_module(PACKAGE)
    return RetrieveAndRank(businesses, package.SentenceTransformer(BI_ENCODER), package.CrossEncoder(CROSS_ENCODER))


def _unit(rows: Any) -> list[list[float]]:
    """Rows of length one, or zero."""
    plain = [[float(value) for value in row] for row in rows]
    lengths = [math.hypot(*row) or 1.0 for row in plain]
    return [[value / length for value in row] for row, length in zip(plain, lengths, strict=True)]
