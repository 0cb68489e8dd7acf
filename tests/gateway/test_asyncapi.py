from __future__ import annotations

from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.integration
COMMITTED = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"


async def test_the_asyncapi_document_is_served(http: httpx.AsyncClient) -> None:
    reply = await http.get("/asyncapi.yaml")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/yaml")
    assert reply.content == COMMITTED.read_bytes()
