"""What the attacks share: where they are registered, and what they look for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.security.nats.world import MINE, THEIRS, Party, World

Attack = Callable[[World], Awaitable[str]]
ATTACKS: dict[str, Attack] = {}
FACT = f"fact.{MINE}.run.{'e' * 32}.created"
THEIR_FACT = f"fact.{THEIRS}.run.{'e' * 32}.created"
NEXT = {"batch": 5, "no_wait": True}
EVENT = (
    b'{"specversion":"1.0","id":"evil","type":"run.created.v1","subject":"lab/run/e","source":"x","time":"2026-01-01"}'
)


def attack(function: Attack) -> Attack:
    """Register an attack under its name."""
    ATTACKS[function.__name__] = function
    return function


async def answered(party: Party, subjects: list[str], body: object = b"") -> str:
    """Which of the subjects was answered with anything but a refusal."""
    answers = await asyncio.gather(*(party.request(subject, body) for subject in subjects))
    gained = [f"{s}: {a[:200]!r}" for s, a in zip(subjects, answers, strict=True) if a and b'"error"' not in a]
    return "; ".join(gained)


def seed_of(world: World, name: str) -> str:
    """A user's secret."""
    return (world.stack.data_dir.parent / f"{name}.nk").read_text()
