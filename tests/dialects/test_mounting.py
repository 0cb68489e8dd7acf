"""The gateway's application with its dialects, without a server behind it: tokens, sole root, settings."""

from __future__ import annotations

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from trialbook_gateway.app import create_app
from trialbook_gateway.dialects.settings import SYSTEMS, dialect_settings
from trialbook_gateway.settings import Settings, Token

LOCKED = Settings(tokens=(Token(actor="ines", secret="a-long-secret"),))


def client(settings: Settings) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(settings)), base_url="http://test")


@pytest.mark.parametrize("path", ["/marketplace/api/settings", "/api/settings", "/api/experiments/a/logs"])
async def test_without_a_token_the_api_is_closed_in_its_own_shape(path: str) -> None:
    async with client(LOCKED) as http:
        reply = await http.get(path)
    assert (reply.status_code, set(reply.json())) == (401, {"detail"})
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_health_and_documents_are_open() -> None:
    async with client(LOCKED) as http:
        health = await http.get("/marketplace/health")
        assert (health.status_code, health.json()) == (503, {"status": "unhealthy"})
        for path in ("/marketplace/openapi.json", "/marketplace/docs", "/openapi.json", "/docs", "/"):
            assert (await http.get(path)).status_code == 200


def test_the_websocket_is_closed_without_a_token() -> None:
    http = TestClient(create_app(LOCKED))
    with (
        pytest.raises(WebSocketDisconnect),
        http.websocket_connect("/api/experiments/a/logs/ws"),
    ):
        pass


async def test_a_bad_url_is_refused_in_the_shape_of_its_group() -> None:
    async with client(Settings()) as http:
        for path in ("/marketplace/api/settings", "/api/settings"):
            reply = await http.get(f"{path}?a=%00")
            assert (reply.status_code, set(reply.json())) == (422, {"detail"})
        native = await http.get("/v1/runs?a=%00")
        assert native.headers["content-type"] == "application/problem+json"


async def test_one_system_alone_has_the_root_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIALBOOK_ROOT_SYSTEMS", "marketplace")
    async with client(Settings()) as http:
        assert (await http.get("/health")).json() == {"status": "unhealthy"}
        assert (await http.get("/openapi.json")).json()["info"]["title"] == "Marketplace experiments"
        assert (await http.get("/nothing")).json() == {"detail": "Not Found"}
        assert (await http.get("/v1/nothing")).headers["content-type"] == "application/problem+json"


async def test_a_system_can_be_kept_from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIALBOOK_ROOT_SYSTEMS", "aide,algomancy")
    async with client(Settings()) as http:
        assert (await http.get("/api/experiments/a-b/status")).json() == {"detail": "Not Found"}
        assert (await http.get("/openapi.json")).json()["paths"].keys().isdisjoint({"/api/experiments"})
        assert (await http.get("/marketplace/openapi.json")).status_code == 200


def test_root_systems_are_read_from_the_environment() -> None:
    assert dialect_settings({}).root_systems == SYSTEMS
    assert dialect_settings({"TRIALBOOK_ROOT_SYSTEMS": " Aide, marketplace,"}).root_systems == ("aide", "marketplace")
    with pytest.raises(ValueError, match="unknown nothing"):
        dialect_settings({"TRIALBOOK_ROOT_SYSTEMS": "nothing"})


async def test_scripts_of_allowed_origins_may_read_the_cursor() -> None:
    async with client(Settings(cors_origins=("https://a.example",))) as http:
        reply = await http.get("/nothing", headers={"Origin": "https://a.example"})
    assert "X-Next-Cursor" in reply.headers["Access-Control-Expose-Headers"]
