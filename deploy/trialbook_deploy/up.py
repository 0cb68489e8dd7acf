"""`trialbook up`: its options, and what is refused before anything starts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn, Self

from trialbook_deploy import front
from trialbook_deploy.errors import DeployError
from trialbook_deploy.network import is_loopback
from trialbook_deploy.state import lock_data_dir, prepare_data_dir


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What a user may choose about a stack."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000  # 0: a free one
    nats_port: int = 0  # 0: a free one
    nats_url: str | None = None  # an existing server instead of the embedded one
    runners: int = 1
    demo: bool = False
    insecure: bool = False
    ready_timeout_seconds: float = 60.0
    log_level: str = "info"

    def to_json(self) -> str:
        """The options as one line."""
        return json.dumps(asdict(self) | {"data_dir": str(self.data_dir)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"data_dir": Path(fields["data_dir"])})


def run(options: UpOptions) -> NoReturn:
    """Become the front process of a stack. Raises DeployError for what can be known before."""
    _refuse_open_door(options)
    options = replace(options, data_dir=prepare_data_dir(options.data_dir))
    # Held by the front and the keeper until both have ended.
    os.set_inheritable(lock_data_dir(options.data_dir), True)
    front.become_front(options.to_json())


def _refuse_open_door(options: UpOptions) -> None:
    if is_loopback(options.host) or options.insecure or os.environ.get("TRIALBOOK_API_TOKENS"):
        return
    raise DeployError(
        f"Listening on {options.host} lets other machines submit runs, which execute programs here, and no API "
        "tokens are set. Set TRIALBOOK_API_TOKENS, or keep --host 127.0.0.1, or say --insecure if the network is yours."
    )
