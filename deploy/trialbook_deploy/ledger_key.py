"""The key that signs the checkpoints of a stack: made once, for the owner only, with a name of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from trialbook.audit.signer import LOG, Signer

ENV, FILE_ENV = "TRIALBOOK_LEDGER_KEY", "TRIALBOOK_LEDGER_KEY_FILE"
FOLDER, FILE = "ledger", "key"


def with_ledger_key(environ: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """What the environment of the services needs besides: nothing when the deployment names a key of its own."""
    if environ.get(ENV) or environ.get(FILE_ENV):
        return {}
    path = data_dir / FOLDER / FILE
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_key(path, new_key(f"trialbook-{secrets.token_hex(4)}"))
    return {FILE_ENV: str(path)}


def new_key(name: str, kind: int = LOG) -> Signer:
    """A new secret key."""
    return Signer(name, secrets.token_bytes(32), kind)


def write_key(path: Path, signer: Signer) -> None:
    """Write a secret key in one step, readable for the owner only."""
    part = path.with_name(f"{path.name}.new")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(signer.text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
