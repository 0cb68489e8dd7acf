"""HTTP with patience: idempotency keys, repeats of what may be repeated, refusals instead of status codes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import msgspec

from trialbook.client.problems import refusal_of, retry_after_s
from trialbook.errors import Refusal, Unavailable
from trialbook.ids import UUIDv7Source

T = TypeVar("T")
IDEMPOTENCY_KEY = "Idempotency-Key"
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
PASSING = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 3.0
MAX_ERROR_BYTES = 256 * 1024
# What reaches the server and is lost on the way back is repeated with the same key, so the read limit can be short.
TIMEOUT = httpx.Timeout(30.0, connect=5.0)

Query = Mapping[str, Any]


class Transport:
    """One connection pool to one gateway."""

    def __init__(
        self, base_url: str, *, token: str = "", patience_s: float = 15.0, http: httpx.AsyncClient | None = None
    ) -> None:
        """``patience_s``: how long a request that may be repeated is repeated before its failure is raised."""
        self.base_url = base_url.rstrip("/")
        self.patience_s = patience_s
        headers = {"User-Agent": "trialbook-client", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._own = http is None
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT)
        self._headers = headers
        self._ids = UUIDv7Source()

    async def close(self) -> None:
        """Close the connections, if they are this transport's own."""
        if self._own:
            await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        reply: type[T],
        *,
        query: Query | None = None,
        body: Any = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """A request with a JSON body (any msgspec-able value) and a typed JSON reply. A POST gets an idempotency key."""
        sent = dict(headers or {})
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        if method == "POST":
            sent[IDEMPOTENCY_KEY] = key or self._ids.new()
        response = await self.send(method, path, query=query, content=lambda: content, headers=sent)
        return decoded(response, reply)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        content: Callable[[], Any] = lambda: None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A whole reply with a status under 400; anything else is raised as a refusal.

        ``content`` gives the body anew for each try (bytes or an asynchronous iterator of bytes). GET, PUT, DELETE and
        whatever carries an ``Idempotency-Key`` is repeated after lost connections, 429, 502, 503 and 504.
        """
        request_headers = {**self._headers, **(headers or {})}
        may_repeat = method in REPEATABLE or IDEMPOTENCY_KEY in request_headers
        pauses = Pauses(self.patience_s if may_repeat else 0.0)
        while True:
            wait: float | None = None
            try:
                response = await self._http.request(
                    method, self.url(path), params=_parameters(query), content=content(), headers=request_headers
                )
            except httpx.TransportError as error:
                refusal: Refusal = unreachable(self.base_url, error)
            else:
                if response.status_code < 400:
                    return response
                refusal = refusal_of(response.status_code, response.headers, response.content)
                if response.status_code not in PASSING:
                    raise refusal
                wait = retry_after_s(response.headers)
            await pauses.pause_or_raise(refusal, wait)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query | None = None, headers: Mapping[str, str] | None = None, live: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """An open GET whose body is read by the caller; ``live``: the body may be silent for a minute.

        Raises refusals for the status, ``httpx.TransportError`` for what happens while the body is read.
        """
        timeout = httpx.Timeout(60.0, connect=5.0) if live else TIMEOUT
        merged = {**self._headers, **(headers or {})}
        async with self._http.stream(
            "GET", self.url(path), params=_parameters(query), headers=merged, timeout=timeout
        ) as response:
            if response.status_code >= 400:
                raise refusal_of(response.status_code, response.headers, await _some(response))
            yield response

    def url(self, path: str) -> str:
        """The absolute URL of ``path``, which begins with a slash."""
        return self.base_url + path


class Pauses:
    """Growing pauses between the tries of one operation, until its patience is used up."""

    def __init__(self, patience_s: float) -> None:
        self._deadline = asyncio.get_running_loop().time() + patience_s
        self._next_s = FIRST_PAUSE_S

    async def pause_or_raise(self, refusal: BaseException, asked_s: float | None = None) -> None:
        """Wait as long as the server asked (or the next pause with jitter); raise ``refusal`` when time is up."""
        pause = asked_s if asked_s is not None else self._next_s * (0.5 + random.random())  # noqa: S311 -- jitter
        if asyncio.get_running_loop().time() + pause > self._deadline:
            raise refusal
        self._next_s = min(self._next_s * 2, LONGEST_PAUSE_S)
        await asyncio.sleep(pause)


def unreachable(base_url: str, error: httpx.TransportError) -> Unavailable:
    """Nobody answers, or the connection was lost."""
    reason = str(error) or type(error).__name__
    return Unavailable(
        "gateway_unreachable",
        f"No answer from {base_url} ({reason}). Is it running (`trialbook up`), and is TRIALBOOK_URL right?",
    )


def decoded(response: httpx.Response, reply: type[T]) -> T:
    """The reply's JSON as ``reply``. A 204 gives ``None``; what does not fit raises ``Unavailable``."""
    try:
        return msgspec.json.decode(response.content or b"null", type=reply)
    except msgspec.MsgspecError as error:
        raise Unavailable(
            "unexpected_reply",
            f"{response.request.method} {response.request.url} answered what this client cannot read ({error}). "
            "Is it a Trialbook gateway of the same version?",
        ) from error


def _parameters(query: Query | None) -> list[tuple[str, str]]:
    """Query parameters: lists repeat their name; None, empty text and empty lists are left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is None or item == "":
                continue
            pairs.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return pairs


async def _some(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= MAX_ERROR_BYTES:
            break
    return bytes(body)
