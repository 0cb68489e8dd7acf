"""Secrets in query strings must not reach the log: the server writes the URL of every WebSocket into it."""

from __future__ import annotations

import logging
import re

_SECRET = re.compile(r"(?i)([?&](?:password|token)=)[^&\s]*")
_LOGGERS = ("uvicorn.error", "uvicorn.access")


class MaskSecrets(logging.Filter):
    """Replaces the values of ``password`` and ``token`` parameters in the arguments of a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always lets the record pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(_masked(argument) for argument in record.args)
        return True


def _masked(argument: object) -> object:
    return _SECRET.sub(r"\1***", argument) if isinstance(argument, str) else argument


def mask_server_logs() -> None:
    """Put the filter in front of the server's loggers, once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, MaskSecrets) for known in logger.filters):
            logger.addFilter(MaskSecrets())
