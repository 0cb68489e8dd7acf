"""Reproducible randomness: the only place that makes a random generator, always from a given seed."""

from __future__ import annotations

from random import Random


def seeded(*parts: int | str) -> Random:
    """A generator that depends on ``parts`` only: the same in every process and on every platform."""
    return Random("\x1f".join(str(part) for part in parts))  # noqa: S311 - reproducibility, not secrecy
