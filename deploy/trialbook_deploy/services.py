"""The programs of a stack as data: command lines, environments, order of stopping."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trialbook_deploy import nats
from trialbook_deploy.child import ChildSpec
from trialbook_deploy.ledger_key import ENV as LEDGER_KEY
from trialbook_deploy.ledger_key import with_ledger_key
from trialbook_deploy.master_key import with_master_key

# At the end nothing new is let in first, then runs are handed back, then what they said is projected.
STAGES = {"gateway": 0, "runner": 1, "projector": 2, "nats": 3}
# Only the gateway decides who may do what; the others must not be able to leak the tokens.
GATEWAY_SECRETS = ("TRIALBOOK_API_TOKENS",)
SIGNERS = ("projector", "gateway")


@dataclass(frozen=True, slots=True)
class Settings:
    """What every service of a stack is told, by environment only."""

    nats_url: str  # with credentials
    data_dir: Path
    host: str
    port: int
    log_level: str = "info"


def environment(settings: Settings, service: str, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of one service: that of this process, and the stack's settings."""
    inherited = dict(os.environ if base is None else base)
    if service != "gateway":
        for name in GATEWAY_SECRETS:
            inherited.pop(name, None)
    if service in SIGNERS:
        inherited |= with_ledger_key(inherited, settings.data_dir)
    else:
        inherited.pop(LEDGER_KEY, None)
    return (
        inherited
        | with_master_key(inherited, settings.data_dir)
        | {
            "TRIALBOOK_NATS_URL": settings.nats_url,
            "TRIALBOOK_DATA_DIR": str(settings.data_dir),
            "TRIALBOOK_HOST": settings.host,
            "TRIALBOOK_PORT": str(settings.port),
            "TRIALBOOK_LOG_LEVEL": settings.log_level,
            "PYTHONUNBUFFERED": "1",
        }
    )


def module(name: str) -> tuple[str, ...]:
    """The command that runs a module with this interpreter; the current directory is not importable in it."""
    return (sys.executable, "-P", "-m", name)


def service_specs(settings: Settings, runners: int) -> list[ChildSpec]:
    """Projector, runners and gateway."""
    names = ["projector", *(f"runner-{number}" for number in range(1, runners + 1)), "gateway"]
    return [_service_spec(settings, name) for name in names]


def _service_spec(settings: Settings, name: str) -> ChildSpec:
    service = name.partition("-")[0]
    env = environment(settings, service)
    if service == "runner":
        env["TRIALBOOK_RUNNER_NAME"] = name
    return ChildSpec(name=name, argv=module(f"trialbook_{service}"), env=env, stage=STAGES[service])


def nats_spec(server: nats.NatsServer) -> ChildSpec:
    """The embedded nats-server."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRIALBOOK_")}
    return ChildSpec(name="nats", argv=server.argv, env=env, stage=STAGES["nats"], show=nats.worth_showing)
