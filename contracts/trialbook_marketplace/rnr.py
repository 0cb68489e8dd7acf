"""Retrieve and rank: the optional search by meaning (facts, section 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from operator import mul
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from trialbook.errors import Invalid
from trialbook_marketplace.models import Business
from trialbook_marketplace.shingles import document

PACKAGE = "sentence_transformers"
UNAVAILABLE = "search_algorithm 'rnr' needs optional packages that are not installed: pip install 'trialbook[rnr]'"
ENCODER_VARIABLE, RERANKER_VARIABLE = "TRIALBOOK_RNR_ENCODER", "TRIALBOOK_RNR_RERANKER"
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


class ModelNames(Struct, frozen=True):
    """Which models: each the name of a published one or a local folder."""

    encoder: str = "multi-qa-MiniLM-L6-cos-v1"
    reranker: str = "cross-encoder/ms-marco-MiniLM-L6-v2"


class Models(NamedTuple):
    """Both models, loaded."""

    encoder: Encoder
    reranker: Reranker


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


def model_names(env: Mapping[str, str]) -> ModelNames:
    """What the variables say; the documented models where they are unset or empty."""
    usual = ModelNames()
    return ModelNames(env.get(ENCODER_VARIABLE) or usual.encoder, env.get(RERANKER_VARIABLE) or usual.reranker)


def load(names: ModelNames) -> Models:
    """Both models; takes seconds, and longer where they are fetched. Raises ``Invalid`` with what to do."""
    package = import_module(PACKAGE)
    return Models(
        _loaded(package.SentenceTransformer, names.encoder, ENCODER_VARIABLE),
        _loaded(package.CrossEncoder, names.reranker, RERANKER_VARIABLE),
    )


def _loaded(kind: Any, name: str, variable: str) -> Any:
    try:
        return kind(name)
    except Exception as error:  # the package raises whatever its parts do: of files, of the network, of formats
        why = " ".join(str(error).split())
        raise Invalid(
            "search_model_unavailable",
            f"The model '{name}' of search_algorithm 'rnr' cannot be loaded: {why} Put it where the runners find it, "
            f"or name a local folder in {variable}.",
        ) from error


def _unit(rows: Any) -> list[list[float]]:
    """Rows of length one, or zero."""
    plain = [[float(value) for value in row] for row in rows]
    lengths = [math.hypot(*row) or 1.0 for row in plain]
    return [[value / length for value in row] for row, length in zip(plain, lengths, strict=True)]
