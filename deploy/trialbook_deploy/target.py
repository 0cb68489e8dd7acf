"""Which running stack a command talks to: `--url`, else $TRIALBOOK_URL, else `up.json` of the data directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trialbook_deploy import nats
from trialbook_deploy.errors import DeployError
from trialbook_deploy.state import UpState, default_data_dir, read_state


@dataclass(frozen=True, slots=True)
class Target:
    """Where the parts of a stack answer; None for what is not known."""

    data_dir: Path
    url: str | None
    nats_url: str | None  # with credentials
    nats_monitor_url: str | None
    state: UpState | None  # of a stack that runs on this machine on `data_dir`


def find(url: str | None = None, data_dir: Path | None = None, nats_url: str | None = None) -> Target:
    """What is known, without asking anybody. A given `url` or `nats_url` wins over the data directory."""
    directory = (data_dir or default_data_dir()).expanduser().absolute()
    state = read_state(directory)
    named = url or os.environ.get("TRIALBOOK_URL") or None
    # With a gateway elsewhere, the nats-server on this machine is another stack's.
    ours = state if state is not None and named in (None, state.url) else None
    nats_named = nats_url or os.environ.get("TRIALBOOK_NATS_URL") or None
    return Target(
        data_dir=directory,
        url=named or (state.url if state else None),
        nats_url=nats_named or (nats.client_url(directory, ours.nats_url) if ours else None),
        nats_monitor_url=ours.nats_monitor_url if ours and nats_named is None else None,
        state=ours,
    )


def gateway_url(url: str | None, data_dir: Path | None) -> str:
    """The address of the gateway. Raises DeployError when none is known."""
    target = find(url, data_dir)
    if target.url is None:
        raise DeployError(
            f"No stack runs on {target.data_dir}. Start one with `trialbook up`, or name one with --url or "
            "TRIALBOOK_URL."
        )
    return target.url


def nats_server_url(data_dir: Path | None, nats_url: str | None) -> str:
    """The address of NATS with credentials. Raises DeployError when none is known."""
    target = find(None, data_dir, nats_url)
    if target.nats_url is None:
        raise DeployError(
            f"No stack runs on {target.data_dir}. Start one with `trialbook up`, or name its server with --nats-url or "
            "TRIALBOOK_NATS_URL."
        )
    return target.nats_url
