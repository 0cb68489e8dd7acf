"""One stack for the whole folder: the profile whose datasets declare parameters."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session
from tests.dialects.algomancy.conftest import client, serving
from trialbook_deploy.stack import Stack

PROFILE = "trialbook_algomancy.slotting:warehouse"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("beyond") / "data", PROFILE) as running:
        yield running


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    with client(stack) as http:
        yield Api(http)


@pytest.fixture
def session(api: Api) -> Session:
    """A session of this test's own with the example's dataset."""
    main = api.sessions()[0]["id"]
    copied = api.session()
    document = api.call("GET", f"/sessions/{main}/data/example_data")
    copied.call("POST", "/data/from-json", 201, json=document)
    return copied


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with client(stack) as found:
        yield found
