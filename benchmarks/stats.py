"""Medians and percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-int(share * 1_000_000) * len(ordered) // 1_000_000) - 1))]


def p50(values: Sequence[float]) -> float:
    """The median, which one value in two does not exceed."""
    return percentile(values, 0.5)


def p99(values: Sequence[float]) -> float:
    """What one value in a hundred exceeds."""
    return percentile(values, 0.99)


def medians(many: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure by itself."""
    return {name: median(figures[name] for figures in many) for name in many[0]} if many else {}
