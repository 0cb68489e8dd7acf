"""Lexical similarity by character shingles (facts, section 7)."""

from __future__ import annotations

import re

from trialbook_marketplace.models import Business

SIZE = 4
_DROPPED = re.compile(r"[^\w\s]")


def normalise(text: str) -> str:
    """Lower case, without punctuation, white space collapsed, one blank before and behind."""
    return " " + " ".join(_DROPPED.sub("", text.lower()).split()) + " "


def shingles(text: str) -> frozenset[str]:
    """All substrings of length 4 of the normalised text, padded with blanks when shorter."""
    padded = normalise(text).ljust(SIZE)
    return frozenset(padded[start : start + SIZE] for start in range(len(padded) - SIZE + 1))


def score(query: frozenset[str], document: frozenset[str]) -> float:
    """Share of the query's shingles found in the document, 0 to 1; 0 for a query without shingles."""
    return len(query & document) / len(query) if query else 0.0


def document(business: Business) -> str:
    """What is searched of a business: name, description and menu items, without prices and amenities."""
    parts = [business.name, business.description, *business.menu_features]
    return "".join(part.strip() + ", " for part in parts)
