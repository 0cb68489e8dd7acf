"""Whole answers by the clients' door for any request: sent and read as bytes, in shapes of our own.

The clients walk through every request and build a model of every answer, which costs as much as the sending, and take
answers of any shape for good. Connections, keys, addresses and errors stay theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, TypeVar

import httpx2
import msgspec

T = TypeVar("T")


class Client(Protocol):
    """The part that the asynchronous clients of OpenAI and Anthropic share."""

    def post(self, path: str, *, cast_to: type[httpx2.Response], content: bytes) -> Awaitable[httpx2.Response]:
        """One request of JSON. Raises the client's errors."""
        ...


async def answered(client: Client, path: str, body: Mapping[str, Any], shape: type[T]) -> T:
    """The answer to one request. Raises the client's errors, and ``msgspec.MsgspecError`` for another shape."""
    reply = await client.post(path, cast_to=httpx2.Response, content=msgspec.json.encode(body))
    return msgspec.json.decode(reply.content, type=shape)


def shaped(model: Any, shape: type[T]) -> T:
    """What a stream left in a client's model. Raises ``msgspec.ValidationError``."""
    return msgspec.convert(model.to_dict(warnings=False), shape)
