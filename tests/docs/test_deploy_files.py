"""The samples under deploy/ are accepted by the programs that read them."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.style.source import ROOT
from trialbook.testing.server import find_nats_server
from trialbook_deploy.nats_accounts import USERS_FILE, exports, users_text

NATS = ROOT / "deploy" / "nats" / "nats.conf"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def test_nats_server_accepts_the_sample() -> None:
    environment = os.environ | {
        "TRIALBOOK_NATS_PASSWORD": "longpassword",
        "TRIALBOOK_NATS_MONITOR_PASSWORD": "longpassword",
    }
    checked = subprocess.run(
        [find_nats_server(), "-t", "-c", str(NATS)], capture_output=True, text=True, env=environment, timeout=30
    )
    assert checked.returncode == 0, checked.stderr


def test_the_sample_is_durable_and_closed() -> None:
    text = re.sub(r"#.*", "", NATS.read_text())
    assert re.search(r"sync_interval:\s*always", text)
    assert re.search(r"js_ack_fc_v2:\s*false", text)
    assert "no_auth_user" not in text
    assert [line.strip() for line in text.splitlines() if "{ s" in line] == exports()
    assert (NATS.parent / USERS_FILE).read_text() == users_text([])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_modules_that_exist(unit: Path) -> None:
    parsed = configparser.RawConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
    parsed.read(unit)
    started = parsed["Service"]["ExecStart"]
    module = re.search(r"-m (trialbook_\w+)", started)
    assert module is None or any((ROOT / room).is_dir() for room in ROOT.glob(f"services/*/{module[1]}"))
    assert parsed["Service"]["Restart"] == "on-failure"
    assert parsed["Service"]["NoNewPrivileges"] == "yes"
    assert parsed["Service"]["ProtectSystem"] == "strict"
    assert parsed["Service"]["StateDirectoryMode"] == "0700"


def test_tokens_are_in_no_unit() -> None:
    for unit in UNITS:
        assert "PASSWORD" not in unit.read_text()
        assert "TOKENS" not in unit.read_text()
