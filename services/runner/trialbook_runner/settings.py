"""What a deployment may choose, from the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trialbook.errors import Invalid
from trialbook.ids import parse_slug

DEFAULT_POOLS = "default=4,inline=512,task=64"
MAX_SLOTS = 4096


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in bytes."""

    nats_url: str
    name: str
    pools: dict[str, int]
    labels: dict[str, str]
    lease_s: float = 6.0
    data_dir: Path
    log_level: str = "INFO"
    drain_s: float = 8.0
    """How long a stopping runner waits for its attempts before it releases them."""
    kill_grace_s: float = 0.4
    """Between SIGTERM and SIGKILL."""
    max_artifact_bytes: int = 2 * 1024**3
    sandbox: str = ""
    """``bwrap``, ``landlock`` or ``none``; empty for the best wall there is, which never is none."""
    sandbox_cgroup: str = ""
    """A delegated control group for sandboxed programs; empty to look at the runner's own."""


def settings_from(env: Mapping[str, str]) -> Settings:
    """Read and check the TRIALBOOK_ variables. Raises ``Invalid`` (code ``invalid_settings``)."""
    name = env.get("TRIALBOOK_RUNNER_NAME") or f"{socket.gethostname().split('.')[0].lower()}-{os.getpid()}"
    lease_s = _seconds(env, "TRIALBOOK_LEASE_S", 6.0)
    if lease_s < 0.5:
        raise Invalid("invalid_settings", f"TRIALBOOK_LEASE_S is {lease_s:g}; it must be at least 0.5 seconds.")
    return Settings(
        nats_url=env.get("TRIALBOOK_NATS_URL", "nats://127.0.0.1:4222"),
        name=parse_slug(name, "runner name (TRIALBOOK_RUNNER_NAME)"),
        pools=parse_pools(env.get("TRIALBOOK_RUNNER_POOLS") or DEFAULT_POOLS),
        labels=_pairs(env.get("TRIALBOOK_RUNNER_LABELS", ""), "TRIALBOOK_RUNNER_LABELS"),
        lease_s=lease_s,
        data_dir=Path(env.get("TRIALBOOK_DATA_DIR") or "data").resolve(),
        log_level=env.get("TRIALBOOK_LOG_LEVEL", "INFO").upper(),
        drain_s=_seconds(env, "TRIALBOOK_DRAIN_S", 8.0),
        kill_grace_s=_seconds(env, "TRIALBOOK_KILL_GRACE_S", 0.4),
        sandbox=_wall(env.get("TRIALBOOK_SANDBOX", "")),
        sandbox_cgroup=env.get("TRIALBOOK_SANDBOX_CGROUP", ""),
    )


def parse_pools(text: str) -> dict[str, int]:
    """``default=4,inline=512`` as pool -> slots. Raises ``Invalid``."""
    pools: dict[str, int] = {}
    for name, value in _pairs(text, "TRIALBOOK_RUNNER_POOLS").items():
        if not value.isdigit() or not 1 <= int(value) <= MAX_SLOTS:
            raise Invalid("invalid_settings", f"Pool {name!r} has {value!r} slots; give 1 to {MAX_SLOTS}.")
        pools[parse_slug(name, "pool name (TRIALBOOK_RUNNER_POOLS)")] = int(value)
    if not pools:
        raise Invalid("invalid_settings", "TRIALBOOK_RUNNER_POOLS names no pool.")
    return pools


def _wall(text: str) -> str:
    if text not in {"", "bwrap", "landlock", "none"}:
        raise Invalid("invalid_settings", f"TRIALBOOK_SANDBOX is {text!r}; give bwrap, landlock or none.")
    return text


def _pairs(text: str, variable: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise Invalid("invalid_settings", f"{variable}: {part!r} is not name=value.")
        pairs[key.strip()] = value.strip()
    return pairs


def _seconds(env: Mapping[str, str], variable: str, default: float) -> float:
    text = env.get(variable, "")
    try:
        value = float(text) if text else default
    except ValueError:
        raise Invalid("invalid_settings", f"{variable} is {text!r}; give a number of seconds.") from None
    if not 0 < value < 86_400:
        raise Invalid("invalid_settings", f"{variable} is {text!r}; give a number of seconds between 0 and 86400.")
    return value
