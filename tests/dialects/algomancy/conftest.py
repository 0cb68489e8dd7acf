"""One real stack per profile for the whole folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session
from trialbook_deploy.stack import Stack

WORKLOADS = {"algomancy", "algomancy-etl"}
READY_S = 60.0
ANSWER_S = 60.0


@contextmanager
def serving(data_dir: Path, profile: str) -> Iterator[Stack]:
    """A stack that serves a profile, until the block ends."""
    stack = Stack(data_dir, env={"TRIALBOOK_ALGOMANCY_PROFILE": profile, "TRIALBOOK_LEASE_S": "4"})
    asyncio.run(stack.start())
    try:
        announced(stack)
        yield stack
    finally:
        asyncio.run(stack.stop())


def announced(stack: Stack) -> None:
    """Wait until a runner takes scenarios."""
    deadline = time.monotonic() + READY_S
    with client(stack) as http:
        while True:
            items = http.get("/v1/workloads").json()["items"]
            if {one["name"] for one in items if one["available"]} >= WORKLOADS:
                return
            assert time.monotonic() < deadline, stack.logs()
            time.sleep(0.05)


@pytest.fixture(scope="session")
def conformance_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("conformance") / "data", "conformance") as stack:
        yield stack


@pytest.fixture(scope="session")
def slotting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("slotting") / "data", "slotting") as stack:
        yield stack


def client(stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=stack.url, trust_env=False, timeout=ANSWER_S)


@pytest.fixture
def conformance(conformance_stack: Stack) -> Iterator[Api]:
    """The API over its prefix."""
    with client(conformance_stack) as http:
        yield Api(http)


@pytest.fixture(params=["", "/algomancy"], ids=["root", "prefix"])
def mounted(request: pytest.FixtureRequest, conformance_stack: Stack) -> Iterator[Api]:
    """The API over both mounts of the same handlers."""
    with client(conformance_stack) as http:
        yield Api(http, str(request.param))


@pytest.fixture
def session(conformance: Api) -> Session:
    """A session of this test's own, without data."""
    return conformance.session()


@pytest.fixture
def slotting(slotting_stack: Stack) -> Iterator[Api]:
    """The other profile."""
    with client(slotting_stack) as http:
        yield Api(http)
