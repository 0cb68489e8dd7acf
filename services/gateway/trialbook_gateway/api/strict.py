"""A route class for the native API: a scalar query parameter may be given once only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from trialbook_gateway.problems import HttpRefusal

REPEATABLE = frozenset({"status", "label", "type", "run", "kinds", "measure", "better"})


def once(request: Request) -> None:
    """Raises 422 ``duplicate_parameter``."""
    query = request.scope["query_string"]
    if b"&" not in query:
        return
    for name, count in Counter(key for key, _ in request.query_params.multi_items()).items():
        if count > 1 and name not in REPEATABLE:
            raise HttpRefusal(
                422, "duplicate_parameter", f"The query parameter {name[:60]!r} is given {count} times; give it once."
            )


class StrictRoute(APIRoute):
    """Checks the query before FastAPI reads it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with the check in front."""
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            once(request)
            return await handler(request)

        return checked
