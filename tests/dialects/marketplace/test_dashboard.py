"""The dashboard: one page that loads nothing from elsewhere, runs only its own script, and needs no token itself."""

from __future__ import annotations

import base64
import hashlib
import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.dialects.marketplace.client import Market
from trialbook_gateway.auth import Authenticator
from trialbook_gateway.dialects.marketplace.app import _Protected
from trialbook_gateway.settings import Token

pytestmark = pytest.mark.integration
MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|eval\(|Function\("


async def page(market: Market, name: str = "any_name") -> httpx.Response:
    return await market.http.get(f"/marketplace/api/experiments/{name}/dashboard")


async def test_the_page_runs_its_own_script_and_loads_nothing(market: Market) -> None:
    reply = await page(market)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    rules = dict(rule.strip().split(" ", 1) for rule in reply.headers["content-security-policy"].split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", reply.text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", reply.text, re.DOTALL)
    assert rules == {
        "default-src": "'none'", "script-src": source_of(script), "style-src": source_of(style),
        "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    outside = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", reply.text, flags=re.DOTALL)
    assert not re.search(r"\b(src|href|style|on\w+)\s*=|//", outside)
    assert not re.search(r"@import|url\(", style)
    assert not re.search(MARKUP + r"|https?:", script)


def source_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


async def test_what_it_reads_is_there(market: Market, name: str) -> None:
    await market.done(name)
    script = (await page(market, name)).text
    for path in re.findall(r'(?:await read|address)\("([a-z/]+)"\)', script):
        if path != "logs/ws":
            await market.get(f"{name}/{path}")
    view = await market.get(f"{name}/threads")
    for key in {*re.findall(r"\bview\.(\w+)", script)}:
        assert key in view
    for key in {*re.findall(r"\bfound\.((?:customers|total)_\w+)", script)}:
        assert key in view["analytics"]
    messages, _ = await market.stream(name, "?cursor=")
    assert {"log", "cursor"} < set(messages[0])


async def test_names_that_are_none_are_refused(market: Market) -> None:
    reply = await page(market, "%3Cscript%3E")
    assert reply.status_code == 400
    assert reply.headers["content-type"].startswith("application/json")


async def test_where_tokens_are_needed_the_page_is_open_and_what_it_reads_is_not() -> None:
    async def answer(_: Any) -> PlainTextResponse:
        return PlainTextResponse("here")

    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    services: Any = SimpleNamespace(authenticator=Authenticator((Token(secret="s" * 32, actor="somebody"),)))
    app = _Protected(Starlette(routes=routes), services)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as http:
        assert (await http.get("/api/experiments/one/dashboard")).status_code == 200
        for path in ("status", "threads", "dashboard/", "dashboard/x", "logs%2Fdashboard", "x/dashboard", ""):
            assert (await http.get(f"/api/experiments/one/{path}")).status_code == 401, path
        assert (await http.get("/api/experiments/dashboard")).status_code == 401
