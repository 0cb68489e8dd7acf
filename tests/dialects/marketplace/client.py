"""What the tests of the marketplace API do again and again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

CUSTOMER = """\
id: customer_0001
name: Ines Okafor
request: I would like one Roasted Pepper Flatbread and one Iced Hibiscus Cooler from a place with Outdoor Seating.
menu_features: {Roasted Pepper Flatbread: 9.89, Iced Hibiscus Cooler: 4.29}
amenity_features: [Outdoor Seating]
"""
BUSINESS = """\
id: business_000%d
name: Copper Kettle %d
description: Small plates and cold drinks in a quiet courtyard.
rating: 1.0
progenitor_customer: customer_0001
menu_features: {Maple Walnut Tart: 6.1, Roasted Pepper Flatbread: 9.42, Iced Hibiscus Cooler: %.2f}
amenity_features: {Outdoor Seating: true, Live Music: false}
min_price_factor: 0.81
"""
PATIENCE_S = 90.0
"""How long anything may take on a busy machine."""
STATUS_KEYS = {"name", "status", "started_at", "completed_at", "error"}
ENTRY_KEYS = {"timestamp", "level", "message", "data", "agent_id"}


def write_dataset(path: Path) -> Path:
    """One customer and two businesses."""
    (path / "customers").mkdir(parents=True)
    (path / "businesses").mkdir()
    (path / "customers" / "customer_0001.yaml").write_text(CUSTOMER)
    for number in (1, 2):
        text = BUSINESS % (number, number, 4.5 + number / 4)
        (path / "businesses" / f"business_000{number}.yaml").write_text(text)
    return path


class Market:
    """A client of the API under ``/marketplace``, unless told another mount."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def launch(
        self, name: str | None, dataset: str = "mexican_3_9", mount: str = "/marketplace", **more: Any
    ) -> str:
        body = {"dataset": dataset, "experiment_name": name, **more}
        reply = await self.http.post(f"{mount}/api/experiments", json=body)
        assert reply.status_code == 200, reply.text
        found = reply.json()
        assert found == {**found, "status": "pending", "started_at": None, "completed_at": None, "error": None}
        assert set(found) == STATUS_KEYS
        return str(found["name"])

    async def status(self, name: str, mount: str = "/marketplace") -> dict[str, Any]:
        reply = await self.http.get(f"{mount}/api/experiments/{name}/status")
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        assert set(found) == STATUS_KEYS
        return found

    async def finished(self, name: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            while (found := await self.status(name))["status"] not in ("completed", "failed"):
                await asyncio.sleep(0.02)
        return found

    async def done(self, name: str, **more: Any) -> str:
        await self.launch(name, **more)
        found = await self.finished(name)
        assert found["status"] == "completed", found
        return name

    async def get(self, path: str, **params: Any) -> Any:
        reply = await self.http.get(f"/marketplace/api/experiments/{path}".rstrip("/"), params=params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def pages(self, name: str, limit: int = 7, **params: Any) -> list[dict[str, Any]]:
        """Every entry, by cursor, from the start."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            query = {"limit": limit, "cursor": cursor, **params}
            reply = await self.http.get(f"/marketplace/api/experiments/{name}/logs", params=query)
            assert reply.status_code == 200, reply.text
            page = reply.json()
            assert set(page) == {"logs", "total", "has_more"}
            found += page["logs"]
            cursor = reply.headers["X-Next-Cursor"]
            if not page["has_more"]:
                return found

    def stream_url(self, name: str, query: str = "", mount: str = "/marketplace") -> str:
        base = str(self.http.base_url).replace("http", "ws", 1).rstrip("/")
        return f"{base}{mount}/api/experiments/{name}/logs/ws{query}"

    def connect(self, name: str, query: str = "", mount: str = "/marketplace") -> connect:
        """A connection to the live log entries, to be entered."""
        return connect(self.stream_url(name, query, mount), proxy=None, max_queue=None, open_timeout=PATIENCE_S)

    async def stream(self, name: str, query: str = "", mount: str = "/marketplace") -> tuple[list[dict[str, Any]], int]:
        """All messages until the server closes, and the close code."""
        messages: list[dict[str, Any]] = []
        async with (
            asyncio.timeout(PATIENCE_S),
            self.connect(name, query, mount) as socket,
        ):
            async for text in socket:
                assert isinstance(text, str)
                messages.append(json.loads(text))
            return messages, socket.close_code or 0
