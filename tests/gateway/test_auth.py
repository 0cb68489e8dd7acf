from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.gateway.conftest import ENV, Site
from trialbook_gateway.settings import from_environment, parse_tokens

TOKENS = "alice:alice-secret,bob:bob-secret-1:room|other"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("guarded"), {**ENV, "TRIALBOOK_API_TOKENS": TOKENS})
    site.start()
    yield site
    site.stop()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.integration
async def test_tokens_open_their_workspaces(guarded: Site) -> None:
    async with httpx.AsyncClient(base_url=guarded.url) as http:
        nobody = await http.get("/v1/runs")
        assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
        assert nobody.headers["www-authenticate"].startswith("Bearer")
        assert (await http.get("/v1/runs", headers=bearer("wrong-secret"))).status_code == 401
        assert (await http.get("/v1/runs", headers={"Authorization": "Basic abc"})).status_code == 401
        assert (await http.get("/v1/runs", headers=bearer("alice-secret"))).status_code == 200
        made = await http.post("/v1/workspaces", json={"id": "room"}, headers=bearer("alice-secret"))
        assert made.status_code == 201
        bob = bearer("bob-secret-1")
        assert (await http.get("/v1/runs", headers=bob)).json()["code"] == "workspace_forbidden"
        assert (await http.get("/v1/runs?workspace=room", headers=bob)).status_code == 200
        assert (await http.post("/v1/workspaces", json={"id": "mine"}, headers=bob)).status_code == 403
        assert [w["id"] for w in (await http.get("/v1/workspaces", headers=bob)).json()["items"]] == ["room"]
        sequence = made.headers["trialbook-sequence"]
        facts = await http.get(f"/v1/events?workspace=room&at_least={sequence}", headers=bob)
        assert facts.json()["items"][0]["event"]["actor"] == "alice"
        for path in ("/health", "/health/live", "/metrics", "/openapi.json", "/docs"):
            assert (await http.get(path)).status_code == 200, path


@pytest.mark.integration
async def test_a_digest_opens_nothing_of_another_workspace(guarded: Site) -> None:
    async with httpx.AsyncClient(base_url=guarded.url, timeout=20) as http:
        alice, bob = bearer("alice-secret"), bearer("bob-secret-1")
        await http.post("/v1/workspaces", json={"id": "other"}, headers=alice)
        theirs = await http.post("/v1/files?name=a", content=b"of main alone", headers=alice)
        sha256 = theirs.json()["data"]["sha256"]
        dataset = await http.post("/v1/datasets?workspace=other", json={"name": "d"}, headers=bob)
        path = f"{dataset.headers['location']}/versions?workspace=other"
        version = {"files": {"a": sha256}}
        refused = await http.post(path, json=version, headers=bob)
        assert (refused.status_code, refused.json()["code"]) == (422, "input_not_found")
        assert (await http.post(path, json=version, headers=alice)).status_code == 201  # who may read both
        own = {"files": {"b": sha256}}
        assert (await http.post(path, json=own, headers=bob)).status_code == 201  # it is in this workspace now
        mine = await http.post("/v1/files?name=m&workspace=other", content=b"of other", headers=bob)
        own = {"files": {"c": mine.json()["data"]["sha256"]}}
        assert (await http.post(path, json=own, headers=bob)).status_code == 201
        assert (await http.patch("/v1/workspaces/other", json={"title": "mine"}, headers=bob)).status_code == 403


@pytest.mark.integration
async def test_a_websocket_brings_its_token_in_one_of_three_ways(guarded: Site) -> None:
    address = f"{guarded.url.replace('http', 'ws', 1)}/v1/runs/{'0' * 32}/ws"
    ways = [
        (address, {"additional_headers": bearer("alice-secret")}, 404),
        (f"{address}?token=alice-secret", {}, 404),
        (address, {"subprotocols": ["trialbook.bearer.alice-secret"]}, 404),
        (address, {}, 401),
        (f"{address}?token=wrong-secret", {}, 401),
    ]
    for url, options, status in ways:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, **options)  # type: ignore[arg-type]
        assert refused.value.response.status_code == status, url


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="TRIALBOOK_LOG_LEVEL: 'loud' is none of debug, info"):
        from_environment({"TRIALBOOK_LOG_LEVEL": "loud"})
    assert from_environment({"TRIALBOOK_LOG_LEVEL": "WARNING"}).log_level == "warning"
    assert parse_tokens(TOKENS)[1].workspaces == {"room", "other"}
    for variable, value in (
        ("TRIALBOOK_API_TOKENS", "nocolon"),
        ("TRIALBOOK_PORT", "x"),
        ("TRIALBOOK_MAX_WAIT_S", "a"),
    ):
        with pytest.raises(ValueError, match=variable):
            from_environment({variable: value})
    with pytest.raises(ValueError, match="entry 1") as refused:
        parse_tokens("a:secret")
    assert "secret" not in str(refused.value)
