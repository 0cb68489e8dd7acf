"""Secrets in query strings must not reach the log: the server writes the URL of every WebSocket into it."""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote_plus

_PARAMETER = re.compile(r"([?&]([^=&\s]*)=)[^&\s\"]*")
_SECRET = frozenset({"password", "token"})
_LOGGERS = ("uvicorn.error", "uvicorn.access")


class MaskSecrets(logging.Filter):
    """Replaces the values of ``password`` and ``token`` parameters in the arguments of a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always lets the record pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(_masked(argument) for argument in record.args)
        return True


def _masked(argument: object) -> object:
    return _PARAMETER.sub(_hidden, argument) if isinstance(argument, str) else argument


def _hidden(found: re.Match[str]) -> str:
    """Names are compared as the parser reads them: ``%74oken`` is ``token``."""
    return f"{found[1]}***" if unquote_plus(found[2]).lower() in _SECRET else found[0]


def mask_server_logs() -> None:
    """Put the filter in front of the server's loggers, once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, MaskSecrets) for known in logger.filters):
            logger.addFilter(MaskSecrets())
