"""A small real HTTP server of the tests' own: it misbehaves on request, which a real gateway does not."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from trialbook.client import AsyncClient

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Server:
    """Routes are set by the tests; every request is kept."""

    url: str = ""
    routes: dict[tuple[str, str], Handler] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def on(self, method: str, path: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.routes[method, path] = handler
            return handler

        return register

    def seen(self) -> Counter[str]:
        return Counter(f"{request.method} {request.url.path}" for request in self.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.requests.append(request)
        handler = self.routes.get((request.method, request.url.path))
        response = await handler(request) if handler else problem(404, "route_not_found", "There is nothing here.")
        await response(scope, receive, send)


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: object) -> Response:
    import msgspec

    body = {"type": f"urn:trialbook:problem:{code}", "title": "x", "status": status, "code": code, "detail": detail}
    return Response(msgspec.json.encode({**body, **extra}), status, headers, "application/problem+json")


class Cut(Response):
    """Sends a part of a body and then drops the connection, as a dying server does."""

    def __init__(self, head: dict[str, str], pieces: list[bytes], status: int = 200) -> None:
        super().__init__(status_code=status)
        self._head, self._pieces = head, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(key.encode(), value.encode()) for key, value in self._head.items()]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        raise ConnectionAbortedError


@pytest.fixture(scope="session")
def listening() -> Iterator[Server]:
    app = Server()
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", loop="asyncio")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.01)
    app.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    yield app
    running.should_exit = True
    running.force_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def server(listening: Server) -> Server:
    listening.routes.clear()
    listening.requests.clear()
    return listening


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, token="", patience_s=30.0) as one:
        yield one
