"""The base of everything that a client offers: a part of the API over one transport."""

from __future__ import annotations

from trialbook.client.transport import Transport


class Resource:
    """A group of methods on one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
