"""Which methods a path knows, for the Allow header of a 405: routes are one per method, so no route knows them all."""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.routing import compile_path

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})


class Allowed:
    """Reads the OpenAPI document once, at the first question."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._known: list[tuple[re.Pattern[str], frozenset[str]]] | None = None

    def methods(self, path: str) -> str | None:
        """The methods as an Allow header, or None for a path that is not documented."""
        if self._known is None:
            paths = self._app.openapi()["paths"]
            self._known = [
                (compile_path(template)[0], frozenset(m.upper() for m in item if m in _METHODS))
                for template, item in paths.items()
            ]
        found: set[str] = set()
        for pattern, methods in self._known:
            if pattern.match(path):
                found |= methods
        return ", ".join(sorted(found)) or None
