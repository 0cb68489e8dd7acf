"""Settings of the gateway, read from the environment once at start. Names carry their units."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import msgspec

from trialbook.audit.signer import PublicKey
from trialbook_gateway.witnessing import witness_keys

MIB = 1024 * 1024
LOG_LEVELS = ("debug", "info", "warning", "error")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One bearer token: who it stands for, and the workspaces it opens (empty: all)."""

    actor: str
    secret: str
    workspaces: frozenset[str] = frozenset()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a deployment may choose. Every bound has a unit in its name."""

    nats_url: str = "nats://127.0.0.1:4222"
    host: str = "127.0.0.1"
    port: int = 8000
    log_level: str = "info"
    tokens: tuple[Token, ...] = ()
    """Empty: everybody may do everything as ``anonymous`` (meant for a loopback address)."""
    default_workspace: str = "main"
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)
    max_body_bytes: int = 4 * MIB
    """Bodies of everything but uploads."""
    max_upload_bytes: int = 1024 * MIB
    max_unfinished_bytes: int = 4096 * MIB
    """Parts of uploads that are not finished, of a workspace; each counts as one of full size."""
    max_params_bytes: int = 256 * 1024
    """Parameters of one run as JSON: they stand in a fact, which must stay well under a NATS message."""
    head_s: float = 10.0
    """A request whose head is not complete after so long is refused, and a connection that sends none is closed."""
    body_idle_s: float = 30.0
    """A request whose body stops coming for so long is refused; beyond it a body comes with 1 KiB a second or more."""
    max_wait_s: float = 60.0
    """Longest long-poll."""
    ask_timeout_s: float = 5.0
    max_sweep_children: int = 10_000
    live_life_s: float = 4 * 3600.0
    """A live connection is closed with a resume token at this age."""
    live_keepalive_s: float = 15.0
    live_send_timeout_s: float = 10.0
    """A client that takes no byte for so long is closed."""
    live_lag_messages: int = 20_000
    """A client this many messages behind the newest one is closed with a resume token."""
    live_ring_bytes: int = 16 * MIB
    """Most that is kept in memory of one followed run."""
    live_max_clients: int = 5_000
    live_frame_bytes: int = 4096
    """Largest frame accepted from a WebSocket client."""
    nats_user_open: int = 16
    """Commands of one user on NATS that are carried out at a time, and questions that are answered."""
    nats_user_waiting: int = 256
    """Commands (and questions) of one user on NATS that may wait behind those; more are refused."""
    witness_keys: tuple[PublicKey, ...] = ()
    """Witnesses whose cosignatures are taken."""
    ready_lag_messages: int = 50_000
    """Above this many unapplied messages the service calls itself degraded."""


def parse_tokens(text: str) -> tuple[Token, ...]:
    """``name:token[:ws1|ws2],...``. Raises ``ValueError`` naming the entry (never the secret)."""
    tokens: list[Token] = []
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        actor, colon, rest = entry.partition(":")
        secret, _, workspaces = rest.partition(":")
        if not colon or not actor or len(secret) < 8:
            raise ValueError(f"TRIALBOOK_API_TOKENS: entry {number} must be name:token[:ws1|ws2], token of 8 or more.")
        names = frozenset(filter(None, workspaces.split("|")))
        tokens.append(Token(actor=actor, secret=secret, workspaces=names))
    return tuple(tokens)


def parse_level(text: str) -> str:
    """A log level in lower case. Raises ``ValueError`` for an unknown one."""
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"{text!r} is none of {', '.join(LOG_LEVELS)}.")
    return text.lower()


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError("must be 1 or more.")
    return number


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


_READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "TRIALBOOK_NATS_URL": ("nats_url", str), "TRIALBOOK_HOST": ("host", str), "TRIALBOOK_PORT": ("port", int),
    "TRIALBOOK_LOG_LEVEL": ("log_level", parse_level), "TRIALBOOK_API_TOKENS": ("tokens", parse_tokens),
    "TRIALBOOK_CORS_ORIGINS": ("cors_origins", _list), "TRIALBOOK_TRUSTED_PROXIES": ("trusted_proxies", _list),
    "TRIALBOOK_DEFAULT_WORKSPACE": ("default_workspace", str), "TRIALBOOK_MAX_BODY_BYTES": ("max_body_bytes", int),
    "TRIALBOOK_MAX_UPLOAD_BYTES": ("max_upload_bytes", int), "TRIALBOOK_MAX_PARAMS_BYTES": ("max_params_bytes", int),
    "TRIALBOOK_MAX_UNFINISHED_BYTES": ("max_unfinished_bytes", int), "TRIALBOOK_HEAD_S": ("head_s", float),
    "TRIALBOOK_BODY_IDLE_S": ("body_idle_s", float), "TRIALBOOK_MAX_WAIT_S": ("max_wait_s", float),
    "TRIALBOOK_ASK_TIMEOUT_S": ("ask_timeout_s", float),
    "TRIALBOOK_MAX_SWEEP_CHILDREN": ("max_sweep_children", int), "TRIALBOOK_LIVE_LIFE_S": ("live_life_s", float),
    "TRIALBOOK_LIVE_KEEPALIVE_S": ("live_keepalive_s", float),
    "TRIALBOOK_LIVE_SEND_TIMEOUT_S": ("live_send_timeout_s", float),
    "TRIALBOOK_LIVE_LAG_MESSAGES": ("live_lag_messages", int), "TRIALBOOK_LIVE_RING_BYTES": ("live_ring_bytes", int),
    "TRIALBOOK_LIVE_MAX_CLIENTS": ("live_max_clients", int),
    "TRIALBOOK_NATS_USER_OPEN": ("nats_user_open", _count),
    "TRIALBOOK_NATS_USER_WAITING": ("nats_user_waiting", _count),
    "TRIALBOOK_WITNESS_KEYS": ("witness_keys", witness_keys),
    "TRIALBOOK_READY_LAG_MESSAGES": ("ready_lag_messages", int),
}  # fmt: skip


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from ``TRIALBOOK_*``. Raises ``ValueError`` naming the variable that cannot be read."""
    source = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for name, (field, read) in _READERS.items():
        text = source.get(name, "")
        if not text:
            continue
        try:
            values[field] = read(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return msgspec.convert(values, Settings)
