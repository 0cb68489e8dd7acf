"""What a user from outside may do on NATS, and the consumers that are made for it.

Each user is an account of its own in the server's configuration, bound to one workspace. Everything that crosses to the
services' account is listed here once: the configuration, the gateway and the documents are made from it.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trialbook import subjects
from trialbook.errors import Invalid
from trialbook.ids import parse_slug
from trialbook.streams import FACTS, NANO, SIGNALS

ACTOR = "nats:"
SLOTS = ("main", "second", "third", "fourth")
"""Names of the consumers that a user may have on each stream; the server's configuration lists them beforehand."""
QUESTIONS = ("run.>", "event.>", "item.>", "metric.>", "diff.>", "audit.>", "content.>", "sql")
"""What may be asked from outside. The operator's questions (rebuilding, sealing, erasing, proofs) are none of these."""
STREAMS: dict[str, str] = {"facts": FACTS, "signals": SIGNALS}
ACK_WAIT_S = 30
MAX_ACK_PENDING = 1000
MAX_WAITING = 64
MAX_EXPIRES_S = 60
INACTIVE_S = 30 * 24 * 3600

Slot = Literal["main", "second", "third", "fourth"]
StreamName = Literal["facts", "signals"]


class Outsider(msgspec.Struct, frozen=True, kw_only=True):
    """One user: ``name`` and ``workspace`` are slugs; ``public_key`` is an nkey; ``created_at`` RFC 3339."""

    name: str
    workspace: str
    public_key: str
    read_only: bool = False
    created_at: str = ""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a consumer begins: after a sequence, or at a time (RFC 3339); neither: at the beginning of the stream."""

    after: int | None = None
    since: str = ""


def actor(user: str) -> str:
    """How a user is named in facts."""
    return f"{ACTOR}{user}"


def may_ask(query: str) -> bool:
    """Whether a query is one of ``QUESTIONS``."""
    return any(query == name or (name.endswith(">") and query.startswith(name[:-1])) for name in QUESTIONS)


def durable(user: str, slot: str) -> str:
    """Name of a user's consumer; the sign cannot stand in a user's name, so two users never share one."""
    return f"{user}@{slot}"


def filter_of(workspace: str, stream: StreamName, asked: str = "") -> str:
    """The filter of a consumer: everything of the workspace, or the asked part of it.

    Raises ``Invalid`` (code ``invalid_filter``) for what reaches beyond the workspace or is no subject.
    """
    whole = subjects.facts_in(workspace) if stream == "facts" else subjects.signals_in(workspace)
    if not asked or asked == whole:
        return whole
    begin = whole.removesuffix(">")
    tokens = asked.split(".")
    sound = all(t and t.isascii() and t.isprintable() and " " not in t for t in tokens)
    wild = all(t in ("*", ">") or not set(t) & {"*", ">"} for t in tokens) and ">" not in tokens[:-1]
    if not (asked.startswith(begin) and sound and wild and len(asked) <= 255):
        raise Invalid("invalid_filter", f"A filter of {stream} begins with {begin}; {asked[:80]!r} is none.")
    return asked


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages may wait for their acknowledgement (1: strictly one after the other), and how long, seconds."""

    max_ack_pending: int = MAX_ACK_PENDING
    ack_wait_s: int = ACK_WAIT_S


def consumer(user: str, slot: str, subject: str, start: Start, pace: Pace) -> dict[str, Any]:
    """Configuration of a consumer as the JetStream API takes it: durable, pulled from, acknowledged one by one.

    It has no deliver subject: only whoever may ask on its subject gets its messages. It is forgotten when nobody has
    asked for ``INACTIVE_S`` seconds.
    """
    made: dict[str, Any] = {
        "name": durable(user, slot),
        "durable_name": durable(user, slot),
        "filter_subject": subject,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": pace.ack_wait_s * NANO,
        "max_ack_pending": pace.max_ack_pending,
        "max_waiting": MAX_WAITING,
        "max_expires": MAX_EXPIRES_S * NANO,
        "max_batch": MAX_ACK_PENDING,
        "inactive_threshold": INACTIVE_S * NANO,
        "replay_policy": "instant",
    }
    if start.after is not None:
        made |= {"deliver_policy": "by_start_sequence", "opt_start_seq": start.after + 1}
    elif start.since:
        made |= {"deliver_policy": "by_start_time", "opt_start_time": start.since}
    return made


def check_name(name: str) -> str:
    """A user's name: a slug. Raises ``Invalid`` (code ``invalid_name``)."""
    return parse_slug(name, "name of a NATS user")
