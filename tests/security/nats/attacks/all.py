"""All attacks by name."""

from __future__ import annotations

from tests.security.nats.attacks import hearing, services, streams
from tests.security.nats.attacks.kit import ATTACKS, Attack

KINDS = (hearing, streams, services)
"""The modules that register them."""
__all__ = ["ATTACKS", "KINDS", "Attack"]
