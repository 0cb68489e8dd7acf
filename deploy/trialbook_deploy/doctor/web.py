"""A page of the server's monitoring as JSON."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.parse import urlsplit

import msgspec

MONITOR_SECONDS = 3.0


def get(url: str) -> Any:
    """The decoded page. Raises ``OSError`` or ``ValueError``."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"{url} is no http address")
    with urllib.request.urlopen(url, timeout=MONITOR_SECONDS) as reply:  # noqa: S310 -- the scheme is checked above
        return msgspec.json.decode(reply.read())
