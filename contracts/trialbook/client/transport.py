"""HTTP with patience: idempotency keys, repeats of what may be repeated, refusals instead of status codes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from trialbook.client.problems import refusal_of, retry_after_s
from trialbook.errors import Refusal, Unavailable
from trialbook.ids import UUIDv7Source

T = TypeVar("T")
IDEMPOTENCY_KEY = "Idempotency-Key"
DATA_SUBJECT = "Trialbook-Data-Subject"
WORKSPACE = "Trialbook-Workspace"
SEQUENCE = "Trialbook-Sequence"
SAFE = frozenset({"GET", "HEAD"})
REPEATABLE = SAFE | {"PUT", "DELETE"}
PASSING = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 3.0
MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS = 256, 64
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_ERROR_BYTES = 256 * 1024
READ_S, CONNECT_S = 30.0, 5.0
LIVE_READ_S = 60.0  # a live connection is kept awake by comments four times as often

Query = Mapping[str, Any]


class Transport:
    """One connection pool to one gateway, speaking for one workspace.

    It remembers the newest ledger sequence that it has written or seen, and reads that may be behind ask for
    ``at_least`` that one: a client always sees what it has done, and never an older state than before.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        workspace: str = "",
        data_subject: str = "",
        patience_s: float = 15.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """``patience_s``: how long a request that may be repeated is repeated before its failure is raised."""
        self.base_url = base_url.rstrip("/")
        self.patience_s = patience_s
        self.newest = 0
        self._own = http is None
        self._http = http or _pool(base_url)
        self._headers = {"User-Agent": "trialbook-client", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if workspace:
            self._headers[WORKSPACE] = workspace
        if data_subject:
            self._headers[DATA_SUBJECT] = data_subject
        self._ids = UUIDv7Source()

    async def close(self) -> None:
        """Close the connections, if they are this transport's own."""
        if self._own:
            await self._http.aclose()

    async def get(self, path: str, reply: type[T], query: Query | None = None, *, consistent: bool = True) -> T:
        """A typed JSON reply; ``consistent`` asks for a state that is not older than what was seen."""
        asked = {**(query or {}), **(self.at_least() if consistent else {})}
        return decoded(await self.send("GET", path, query=asked), reply)

    def at_least(self) -> dict[str, int]:
        """The query parameter that makes a read wait for what this client has written or seen."""
        return {"at_least": self.newest} if self.newest else {}

    async def post(self, path: str, reply: type[T], body: Any = None, *, key: str | None = None) -> T:
        """A command with a JSON body (any msgspec-able value). ``key`` is its ``Idempotency-Key``, else a fresh one."""
        content, headers = encoded(body)
        headers[IDEMPOTENCY_KEY] = key or self.new_key()
        return decoded(await self.send("POST", path, content=lambda: content, headers=headers), reply)

    async def post_once(self, path: str, reply: type[T], body: Any = None) -> T:
        """A command that the service cannot recognise when it is repeated: a lost connection is raised."""
        content, headers = encoded(body)
        return decoded(await self.send("POST", path, content=lambda: content, headers=headers), reply)

    def saw(self, sequence: int) -> None:
        """Remember a ledger sequence."""
        self.newest = max(self.newest, sequence)

    def new_key(self) -> str:
        """A fresh ``Idempotency-Key``."""
        return self._ids.new()

    async def delete(self, path: str) -> None:
        """Remove something. One that an earlier try of this call has removed is not missed."""
        await self.send("DELETE", path)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        content: Callable[[], Any] = lambda: None,
        headers: Mapping[str, str] | None = None,
        patience_of_read_s: float = READ_S,
        repeat: bool = False,
    ) -> httpx.Response:
        """A whole reply with a status under 400; anything else is raised as a refusal.

        ``content`` gives the body anew for each try (bytes or an asynchronous iterator of bytes). GET, PUT, DELETE,
        what carries an ``Idempotency-Key`` and what may be repeated by the caller's word (``repeat``) is repeated after
        lost connections, 429, 502, 503 and 504.
        """
        merged = {**self._headers, **(headers or {})}
        may_repeat = repeat or method in REPEATABLE or IDEMPOTENCY_KEY in merged
        pauses = Pauses(self.patience_s if may_repeat else 0.0)
        tries = 0
        while True:
            wait: float | None = None
            tries += 1
            try:
                response = await self._http.request(
                    method, self.base_url + path, params=parameters(query), content=content(), headers=merged,
                    timeout=httpx.Timeout(patience_of_read_s, connect=CONNECT_S),
                )  # fmt: skip
            except httpx.TransportError as error:
                refusal: Refusal = unreachable(self.base_url, error)
            else:
                if response.status_code < 400 or (response.status_code == 404 and method == "DELETE" and tries > 1):
                    self._remember(method, response)
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
        """An open GET whose body is read by the caller.

        Raises refusals for the status, ``httpx.TransportError`` for what happens while the body is read.
        """
        merged = {**self._headers, "Accept": "*/*", **(headers or {})}
        timeout = httpx.Timeout(LIVE_READ_S if live else READ_S, connect=CONNECT_S)
        async with self._http.stream(
            "GET", self.base_url + path, params=parameters(query), headers=merged, timeout=timeout
        ) as response:
            if response.status_code >= 400:
                raise refusal_of(response.status_code, response.headers, await _some(response))
            yield response

    def _remember(self, method: str, response: httpx.Response) -> None:
        sequence = response.headers.get(SEQUENCE, "")
        if method not in SAFE and sequence.isdigit():
            self.saw(int(sequence))


def _pool(base_url: str) -> httpx.AsyncClient:
    """A connection pool; a gateway on this machine is never asked through a proxy of the environment."""
    host = urlsplit(base_url).hostname or ""
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS)
    return httpx.AsyncClient(limits=limits, trust_env=host not in LOOPBACK)


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


def unreachable(base_url: str, error: Exception) -> Unavailable:
    """Nobody answers, or the connection was lost."""
    reason = str(error) or type(error).__name__
    return Unavailable(
        "gateway_unreachable",
        f"No answer from {base_url} ({reason}). Is it running (`trialbook up`), and is the address right?",
    )


def decoded(response: httpx.Response, reply: type[T]) -> T:
    """The reply's JSON as ``reply`` (an empty one as null). Raises ``Unavailable`` for what does not fit."""
    try:
        return msgspec.json.decode(response.content or b"null", type=reply)
    except msgspec.MsgspecError as error:
        raise Unavailable(
            "unexpected_reply",
            f"{response.request.method} {response.request.url} answered what this client cannot read ({error}). "
            "Is it a Trialbook gateway of the same version?",
        ) from error


def encoded(body: Any) -> tuple[bytes | None, dict[str, str]]:
    """A JSON body and its header; nothing for None."""
    return (None, {}) if body is None else (msgspec.json.encode(body), {"Content-Type": "application/json"})


def parameters(query: Query | None) -> httpx.QueryParams:
    """Query parameters: lists repeat their name; None, empty text and empty lists are left out."""
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in (query or {}).items():
        items = value if isinstance(value, list | tuple) else (value,)
        given = (item for item in items if item is not None and item != "")
        pairs.extend((name, str(item).lower() if isinstance(item, bool) else str(item)) for item in given)
    return httpx.QueryParams(pairs)


async def _some(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= MAX_ERROR_BYTES:
            break
    return bytes(body)
