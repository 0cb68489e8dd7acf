"""The users from outside of one NATS server: their record (`users.json`), the accounts made from it, the reload."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trialbook.clock import Clock, SystemClock
from trialbook.errors import Invalid
from trialbook.ids import parse_slug
from trialbook.nkeys import check_public, new_user
from trialbook.outside import Outsider, check_name
from trialbook.times import rfc3339
from trialbook_deploy.errors import DeployError
from trialbook_deploy.files import write_private
from trialbook_deploy.nats_accounts import USERS_FILE, users_text
from trialbook_deploy.network import http_status
from trialbook_deploy.state import UpState

RECORD = "users.json"
LOCK = "users.lock"
RELOAD_SECONDS = 20.0
POLL_SECONDS = 0.02
MAX_USERS = 1000


class Users:
    """What the directory of a server's configuration knows of users: their public keys; seeds are nobody else's."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        self.directory = directory
        self._clock = clock or SystemClock()

    def all(self) -> list[Outsider]:
        """By name. Raises DeployError for a damaged record."""
        path = self.directory / RECORD
        try:
            found = msgspec.json.decode(path.read_bytes(), type=list[Outsider])
        except FileNotFoundError:
            return []
        except msgspec.MsgspecError as error:
            raise DeployError(f"{path} is damaged: {error}") from error
        try:
            for user in found:  # it becomes configuration: nothing of it may be more than it says
                check_name(user.name)
                parse_slug(user.workspace, "workspace")
                check_public(user.public_key)
        except Invalid as refusal:
            raise DeployError(f"{path} is damaged: {refusal.detail}") from refusal
        return sorted(found, key=lambda user: user.name)

    def get(self, name: str) -> Outsider:
        """One user. Raises DeployError when there is none."""
        for user in self.all():
            if user.name == name:
                return user
        raise DeployError(f"There is no NATS user {name!r} in {self.directory}; `trialbook nats user list` shows them.")

    def add(self, name: str, workspace: str, *, read_only: bool) -> tuple[Outsider, str]:
        """A new user and its seed, which is kept nowhere else.

        Raises DeployError for a name in use, ``Invalid`` for what is no name.
        """
        with self._locked():
            return self._add(name, workspace, read_only)

    def _add(self, name: str, workspace: str, read_only: bool) -> tuple[Outsider, str]:
        users = self.all()
        if any(user.name == name for user in users):
            raise DeployError(
                f"There is a NATS user {name!r} already; `trialbook nats user rotate` gives it a new key."
            )
        if len(users) >= MAX_USERS:
            raise DeployError(f"There are {MAX_USERS} NATS users, which is as many as one server may have.")
        key = new_user()
        user = Outsider(
            name=check_name(name), workspace=parse_slug(workspace, "workspace"), public_key=key.public,
            read_only=read_only, created_at=rfc3339(self._clock.now()),
        )  # fmt: skip
        self._keep([*users, user])
        return user, key.seed

    def rotate(self, name: str) -> tuple[Outsider, str]:
        """The user with a new key, and its seed; the old one is worth nothing after the reload."""
        key = new_user()
        with self._locked():
            user = msgspec.structs.replace(self.get(name), public_key=key.public)
            self._keep([*(one for one in self.all() if one.name != name), user])
        return user, key.seed

    def remove(self, name: str) -> Outsider:
        """Forget a user."""
        with self._locked():
            user = self.get(name)
            self._keep([one for one in self.all() if one.name != name])
        return user

    def write_accounts(self) -> None:
        """Make the accounts anew from the record: another release may write them differently."""
        write_private(self.directory / USERS_FILE, users_text(self.all()))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, also by several processes."""
        with (self.directory / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _keep(self, users: list[Outsider]) -> None:
        ordered = sorted(users, key=lambda user: user.name)
        write_private(self.directory / RECORD, msgspec.json.format(msgspec.json.encode(ordered)).decode() + "\n")
        self.write_accounts()


async def reload(state: UpState) -> None:
    """Have the server of a running stack read its users again. Raises DeployError when it does not.

    Twice: the server gives an account that is new in a configuration its service imports only at the next reading.
    """
    for _ in range(2):
        before = await _loaded(state)
        os.kill(state.children["nats"], signal.SIGHUP)
        deadline = asyncio.get_running_loop().time() + RELOAD_SECONDS
        while await _loaded(state) == before:
            if asyncio.get_running_loop().time() > deadline:
                raise DeployError("nats-server did not take up its configuration; `trialbook up` shows what it says.")
            await asyncio.sleep(POLL_SECONDS)


async def _loaded(state: UpState) -> str:
    """When the server last read its configuration, as it says."""
    host, _, port = str(state.nats_monitor_url).rpartition("/")[2].rpartition(":")
    status, body = await http_status(host, int(port), "/varz", RELOAD_SECONDS)
    if status != 200:
        raise DeployError(f"nats-server does not answer at {state.nats_monitor_url}: {body}")
    return str(json.loads(body)["config_load_time"])
