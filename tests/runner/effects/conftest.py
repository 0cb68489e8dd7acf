"""Runners with the workloads that call something outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PLUGINS = str(Path(__file__).parent / "plugins")


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    return tmp_path / "marks"


@pytest.fixture
def start(start_runner: Any) -> Any:
    async def begin(name: str = "a", **env: str) -> Any:
        return await start_runner(name, PYTHONPATH=PLUGINS, **env)

    return begin
