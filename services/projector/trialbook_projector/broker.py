"""FastStream's broker on the connection that every service of Trialbook uses."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from faststream.nats import NatsBroker
from nats.aio.client import Client

from trialbook.log.connect import connect, without_password

log = logging.getLogger(__name__)
GRACE_S = 5.0


class Broker(NatsBroker):
    """Connects as ``trialbook.log.connect`` does: waits for the server, reconnects for ever, takes the credentials from
    the url. What uses nats-py directly shares the connection. It is closed, not drained, at the end: that works without
    a server too.
    """

    def __init__(self, url: str, *, name: str, middlewares: Sequence[Any] = ()) -> None:
        super().__init__(
            without_password(url), logger=log, log_level=logging.DEBUG, apply_types=False, middlewares=middlewares,
            graceful_timeout=GRACE_S, name=name,
        )  # fmt: skip
        self._url, self._name = url, name

    async def _connect(self) -> Client:
        """Raises ``Unavailable`` when nothing answers."""
        connection = await connect(self._url, name=self._name)
        self.config.connect(connection)
        return connection

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Stop the subscribers and close the connection; may be called again."""
        connection, self._connection = self._connection, None
        await super().stop(exc_type, exc_val, exc_tb)
        if connection is not None:
            await connection.close()
