"""Tokens, limits, fixed sessions, data that declare parameters, and a second gateway: one stack of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session, fresh
from tests.dialects.algomancy.conftest import ANSWER_S
from trialbook.sockets import held_port
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
OPS, GUEST = {"Authorization": "Bearer ops-secret"}, {"Authorization": "Bearer guest-secret"}
ENV = {
    "TRIALBOOK_ALGOMANCY_PROFILE": "trialbook_algomancy.slotting:warehouse",
    "TRIALBOOK_API_TOKENS": "ops:ops-secret,guest:guest-secret:lab", "TRIALBOOK_ALGOMANCY_SESSION_CREATE": "off",
    "TRIALBOOK_ALGOMANCY_MAX_UPLOAD_BYTES": "100000", "TRIALBOOK_ALGOMANCY_MAX_UPLOAD_FILES": "3",
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("guarded") / "data", env=ENV)
    asyncio.run(stack.start())
    try:
        yield stack
    finally:
        asyncio.run(stack.stop())


@pytest.fixture
def ops(guarded: Stack) -> Iterator[Api]:
    """With the token that opens everything."""
    with httpx.Client(base_url=guarded.url, headers=OPS, trust_env=False, timeout=ANSWER_S) as http:
        yield Api(http)


def test_without_a_token_there_is_only_health(guarded: Stack) -> None:
    with httpx.Client(base_url=guarded.url, trust_env=False, timeout=ANSWER_S) as http:
        for prefix in ("", "/algomancy"):
            refused = http.get(f"{prefix}/api/v1/sessions")
            assert refused.status_code == 401
            assert list(refused.json()) == ["detail"]
        assert http.get("/algomancy/health").status_code == 200


def test_a_token_of_other_workspaces_sees_no_session(guarded: Stack) -> None:
    with httpx.Client(base_url=guarded.url, headers=GUEST, trust_env=False, timeout=ANSWER_S) as http:
        guest = Api(http)
        assert guest.call("GET", "/sessions") == {"sessions": [], "default": None}
        guest.detail("GET", "/sessions/main/data", 403)
        guest.detail("POST", "/sessions", 403, json={"display_name": "mine"})


def test_sessions_can_be_fixed(ops: Api) -> None:
    text = "Sessions of this deployment cannot be created, copied or deleted."
    assert ops.detail("POST", "/sessions", 403, json={"display_name": "x"}) == text
    assert ops.detail("POST", "/sessions/main/copy", 403, json={"new_display_name": "x"}) == text
    assert ops.detail("DELETE", "/sessions/main", 403) == text
    assert [s["display_name"] for s in ops.sessions()] == ["main"]


def test_uploads_have_limits(ops: Api) -> None:
    few = [("files", (f"f{n}.csv", b"a\n1\n")) for n in range(4)]
    assert "3 files" in ops.detail("POST", "/sessions/main/etl", 413, data={"dataset_name": "d"}, files=few)
    large = [("files", ("sku_data.csv", b"x" * 150_000))]
    ops.detail("POST", "/sessions/main/etl", 413, data={"dataset_name": "d"}, files=large)
    ops.detail("POST", "/sessions/main/data/from-json", 413, content=b"x" * 150_000)


def test_parameters_of_a_dataset_reach_the_algorithm(ops: Api) -> None:
    main = Session(ops, "main")
    declared = main.call("GET", "/data/example_data/parameters")
    assert declared["name"] == "Warehouse Data"
    assert [p["name"] for p in declared["parameters"]] == ["category_filter", "min_daily_picks"]
    body = {"dataset_key": "example_data", "algo_name": "Greedy Slotting"}
    given = {"category_filter": ["Grocery"], "min_daily_picks": 30}
    some = main.call("POST", "/scenarios", 201, json=body | {"tag": fresh(), "data_params": given})
    everything = main.call("POST", "/scenarios", 201, json=body | {"tag": fresh()})
    assert some["data_parameters"] == given
    for scenario in (some, everything):
        main.run(scenario)
    assert 0 < len(main.ended(some)["result"]["allocation"]) < 30
    assert len(main.ended(everything)["result"]["allocation"]) == 150
    wrong = body | {"tag": fresh(), "data_params": {"min_daily_picks": -1}}
    detail = main.detail("POST", "/scenarios", 400, json=wrong)
    assert detail == "Parameter 'min_daily_picks' must be greater than or equal to 0."
    main.call("POST", "/data/example_data/derive", 201, json={"new_key": "child"})
    assert main.call("GET", "/data/child/parameters") == declared


def test_a_second_gateway_tells_the_same_and_begins_nothing_again(guarded: Stack, ops: Api, tmp_path: Path) -> None:
    main, held = Session(ops, "main"), held_port()
    port = held.getsockname()[1]
    environment = {
        **os.environ, **ENV, "TRIALBOOK_NATS_URL": guarded.nats_url, "TRIALBOOK_PORT": str(port),
        "TRIALBOOK_DATA_DIR": str(guarded.data_dir),
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-P", "-m", "trialbook_gateway"], env=environment, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=OPS, trust_env=False, timeout=ANSWER_S) as http:
            deadline = time.monotonic() + 60
            while True:
                try:
                    if http.get("/algomancy/health").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
            other = Session(Api(http), main.id)
            assert other.api.sessions() == ops.sessions()
            before = main.call("GET", "/scenarios")
            assert [s["id"] for s in other.call("GET", "/scenarios")] == [s["id"] for s in before]
            main.call("POST", "/data/example_data/derive", 201, json={"new_key": "here"})
            assert other.call("GET", "/data/here")["metadata"]["name"] == "here"
            other.call("POST", "/data/here/derive", 201, json={"new_key": "there"})
            assert main.call("GET", "/data/there")["metadata"]["name"] == "there"
            assert main.keys() == other.keys()
    finally:
        process.terminate()
        process.wait(60)
        held.close()
