"""Inputs that many attempts read alike: made of their bytes once in the fork server, and shared by its forks.

A fork has pages of its own as soon as it writes, so no attempt sees what another one did to them.
"""

from __future__ import annotations

import importlib
import logging
from collections import OrderedDict
from typing import Any

from trialbook_runner.execute import linux

log = logging.getLogger(__name__)
MAX_SHARED = 8
"""The first one that came goes first."""
MAX_BYTES = 4 * 1024 * 1024
"""Of one input: making something of it holds up the forks, some 50 ms per MiB."""


class Shelf:
    """Values by (``module:function``, sha256 of the input)."""

    def __init__(self) -> None:
        self._values: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def put(self, function: str, sha256: str, content: bytes) -> None:
        """Call the function on the bytes. When it fails, the attempt meets the same and says so in its verdict."""
        try:
            value = made(function, content)
        except Exception:
            log.exception("could not share an input (%s)", function)
            return
        if (threads := linux.threads()) != 1:
            log.warning("%s started %d threads; forks may hang when those hold locks", function, threads - 1)
        self._values[function, sha256] = value
        while len(self._values) > MAX_SHARED:
            self._values.popitem(last=False)

    def drop(self, function: str, sha256: str) -> None:
        """Forget a value."""
        self._values.pop((function, sha256), None)

    def get(self, function: str, sha256: str) -> Any:
        """The value; None when it is not shared."""
        return self._values.get((function, sha256))


def made(function: str, content: bytes) -> Any:
    """What ``module:function`` makes of bytes. Raises whatever it raises."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(content)
