"""The master key of a stack: made once, kept for the owner only, and beside the data, never inside the NATS store."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from trialbook.vault.keys import ENV, FILE_ENV, KEY_BYTES

FILE = "master.key"


def with_master_key(environ: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """What the environment of the services needs besides: nothing when the deployment names a key of its own."""
    if environ.get(ENV) or environ.get(FILE_ENV):
        return {}
    path = data_dir / FILE
    if not path.exists():
        handle = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        path.with_suffix(".new").replace(path)
    return {FILE_ENV: str(path)}
