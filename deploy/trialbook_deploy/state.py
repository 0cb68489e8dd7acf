"""The data directory: where it is, who holds it, and what runs on it (`up.json`)."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from trialbook_deploy.errors import DeployError

STATE_FILE = "up.json"
LOCK_FILE = "up.lock"


@dataclass(frozen=True, slots=True)
class UpState:
    """What `trialbook up` runs, as other commands and tests find it in the data directory."""

    pid: int  # the process the user started
    keeper_pid: int  # its supervisor
    url: str
    nats_url: str  # without password; credentials are in the data directory, see `nats.client_url`
    nats_monitor_url: str | None  # None when the server is not ours
    data_dir: str
    ready: bool
    children: dict[str, int]  # process id by name, of those running now


def default_data_dir() -> Path:
    """$TRIALBOOK_DATA_DIR, or `trialbook` in the user's data directory."""
    named = os.environ.get("TRIALBOOK_DATA_DIR")
    if named:
        return Path(named).expanduser()
    shared = os.environ.get("XDG_DATA_HOME")
    return (Path(shared) if shared else Path.home() / ".local" / "share") / "trialbook"


def prepare_data_dir(data_dir: Path) -> Path:
    """Create the directory, for the owner only, and return its absolute path."""
    path = data_dir.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(f"Cannot use {path} as data directory: {error.strerror}.") from error
    return path


def lock_data_dir(data_dir: Path) -> int:
    """Hold the directory until this process and those forked from it end. Raises DeployError when it cannot be."""
    try:
        handle = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DeployError(f"Cannot write to the data directory {data_dir}: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        state = read_state(data_dir)
        holder = f"process {state.pid} at {state.url}" if state else "a process that is starting or stopping"
        raise DeployError(
            f"{data_dir} is in use by another `trialbook up` ({holder}). Stop that one, or give --data-dir."
        ) from None
    return handle


def write_state(state: UpState) -> None:
    """Replace up.json in one step."""
    path = Path(state.data_dir) / STATE_FILE
    new = path.with_suffix(".json.new")
    new.write_text(json.dumps(asdict(state), indent=2) + "\n")
    new.replace(path)


def read_state(data_dir: Path) -> UpState | None:
    """The stack running on `data_dir`, or None. A file left by a machine that lost power is no running stack."""
    try:
        state = UpState(**json.loads((data_dir / STATE_FILE).read_text()))
        os.kill(state.pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        raise DeployError(f"{data_dir} belongs to another user.") from None
    except (ValueError, TypeError) as error:
        raise DeployError(f"{data_dir / STATE_FILE} is damaged ({error}); remove it.") from error
    return state


def remove_state(data_dir: Path) -> None:
    """Remove up.json, if it is there."""
    (data_dir / STATE_FILE).unlink(missing_ok=True)
