"""The only spelling of a NATS subject.

Layout: ``fact.<workspace>.<kind>.<id>.<name>[.<pool>.<priority>]``, ``signal.<workspace>.run.<id>.<kind>``,
``tap.<fact or signal subject>`` (republished copies, for outside subscribers), ``ask.<workspace>.<query>``,
``presence.<what>.<id>``, ``blob.<sha256>.<part>``. A user from outside commands on ``cmd.<workspace>.<verb>`` and asks
on ``ask.<workspace>.<query>``, which the server turns into ``cmd.<workspace>.<user>.<verb>`` and
``question.<workspace>.<user>.<query>`` on the way into the services' account, and pulls below ``js.``.
"""

from __future__ import annotations

import re
from typing import Literal

from trialbook.envelope import AggregateId, Event
from trialbook.errors import Invalid

FACTS_ALL = "fact.>"
SIGNALS_ALL = "signal.>"
PRESENCE_ALL = "presence.>"
BLOBS_ALL = "blob.>"
KEYS_ALL = "key.*"
CHECKPOINTS_ALL = "checkpoint.>"
LEDGERS = "presence.ledger.*"
"""What projectors say about the ledger."""
ASKS_ALL = "ask.*.>"
SEAL = "seal"
"""Control request to a projector, likewise: seal old facts into segments (see ``trialbook_projector.seal.Order``)."""
REBUILD = "rebuild"
"""Control request to a projector, asked like a query of workspace ``_``: ``{"check": bool}``."""
TAP = "tap."
TAPS_ALL = "tap.>"
COMMANDS_ALL = "cmd.*.*.>"
QUESTIONS_ALL = "question.*.*.>"
"""What users from outside ask, under their names."""
INBOXES_ALL = "_INBOX.>"
PULL_PREFIX = "js"
"""What stands for ``$JS.API`` in the account of a user from outside; clients call it the API prefix of JetStream."""
HELD = "_held"
"""In the place of a pool: the entry waits in its run's lane. No pool can be called so."""

RESERVED = frozenset({"fact", "signal", "tap", "ask", "question", "cmd", "presence", "blob", "key", "checkpoint", "js"})
"""First tokens of the services' subjects, onto which nobody else publishes."""
MAX_PREFIX = 200
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")

SignalKind = Literal["log", "metric", "progress", "record"]
SIGNAL_KINDS: tuple[SignalKind, ...] = ("log", "metric", "progress", "record")


def fact(aggregate: AggregateId, type_: str, route: tuple[str, ...] = ()) -> str:
    """Where a fact is appended. ``type_`` is the wire type ``<kind>.<name>.v<n>``."""
    name = type_.split(".")[1]
    return ".".join(("fact", aggregate.workspace, aggregate.kind, aggregate.id, name, *route))


def aggregate_facts(aggregate: AggregateId) -> str:
    """All facts of one aggregate: the filter of its compare-and-set."""
    return f"fact.{aggregate.workspace}.{aggregate.kind}.{aggregate.id}.>"


def aggregate_of(event: Event) -> AggregateId:
    """The aggregate named by the envelope's ``subject``. Raises ``ValueError`` when it is malformed."""
    workspace, kind, id_ = event.subject.split("/")
    return AggregateId(workspace, kind, id_)


def facts_of(workspace: str = "*", kind: str = "*", id_: str = "*", name: str = "") -> str:
    """A filter over facts; with ``name`` only facts of that name without a route."""
    return f"fact.{workspace}.{kind}.{id_}.{name or '>'}"


def facts_named(kind: str, name: str) -> list[str]:
    """Filters of all facts of that name, without a route and with one."""
    return [f"fact.*.{kind}.*.{name}", f"fact.*.{kind}.*.{name}.>"]


def queue(pool: str, priority: str) -> list[str]:
    """Filters of what waits in one pool at one priority."""
    return [f"fact.*.run.*.{name}.{pool}.{priority}" for name in ("submitted", "queued")]


def facts_in(workspace: str) -> str:
    """Every fact of a workspace."""
    return f"fact.{workspace}.>"


def signals_in(workspace: str) -> str:
    """Every signal of a workspace."""
    return f"signal.{workspace}.>"


def signal(workspace: str, run: str, kind: SignalKind) -> str:
    """Where a run's signals of one kind are published."""
    return f"signal.{workspace}.run.{run}.{kind}"


def signals_of(workspace: str = "*", run: str = "*", kind: str = "*") -> str:
    """A filter over signals."""
    return f"signal.{workspace}.run.{run}.{kind}"


def tap(subject: str) -> str:
    """The republished copy of a fact or signal subject (filters too)."""
    return TAP + subject


def ask(workspace: str, query: str) -> str:
    """Where a typed query is asked; workspace ``_`` asks across workspaces (services only)."""
    return f"ask.{workspace}.{query}"


def asked(subject: str) -> tuple[str, str]:
    """Workspace and query of a subject that ``ASKS_ALL`` matched."""
    _, workspace, query = subject.split(".", 2)
    return workspace, query


def command(workspace: str, verb: str) -> str:
    """Where a user from outside commands; ``>`` for all verbs."""
    return f"cmd.{workspace}.{verb}"


def command_of(workspace: str, user: str, verb: str) -> str:
    """Where the services hear a user's command."""
    return f"cmd.{workspace}.{user}.{verb}"


def question_of(workspace: str, user: str, query: str) -> str:
    """Where the services hear what a user from outside asks."""
    return f"question.{workspace}.{user}.{query}"


def from_user(subject: str) -> tuple[str, str, str]:
    """Workspace, user and verb or query of a subject that ``COMMANDS_ALL`` or ``QUESTIONS_ALL`` matched."""
    _, workspace, user, name = subject.split(".", 3)
    return workspace, user, name


def presence(what: Literal["runner", "workload", "projector", "ledger", "lease"], id_: str) -> str:
    """Where a service says that it is there."""
    return f"presence.{what}.{id_}"


def blob(sha256: str, part: str) -> str:
    """One part of a stored blob: ``meta`` or a chunk number."""
    return f"blob.{sha256}.{part}"


def upload(workspace: str, upload_id: str) -> str:
    """Where the parts of an upload are, in the place of a blob's digest; ``*``: of all uploads of the workspace."""
    return f"parts.{workspace}.{upload_id}"


def key(key_id: str) -> str:
    """Where the wrapped key of a data subject is stored, or the tombstone of an erased one."""
    return f"key.{key_id}"


def checkpoint(origin: str) -> str:
    """Where the checkpoints of one log are appended."""
    return f"checkpoint.{origin}"


def pull_next(stream: str, consumer: str) -> str:
    """Where a durable consumer's next messages are asked for."""
    return f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"


def direct_last(stream: str, subject: str) -> str:
    """Where the last stored message of one subject is asked for."""
    return f"$JS.API.DIRECT.GET.{stream}.{subject}"


def consumer_info(stream: str, consumer: str) -> str:
    """Where a consumer is described."""
    return f"$JS.API.CONSUMER.INFO.{stream}.{consumer}"


def acks(stream: str, consumer: str) -> str:
    """Where a consumer's messages are acknowledged."""
    return f"$JS.ACK.{stream}.{consumer}.>"


def below_prefix(subject: str) -> str:
    """The subject of a JetStream request under ``PULL_PREFIX``."""
    return PULL_PREFIX + subject.removeprefix("$JS.API")


def replay_prefix(text: str) -> str:
    """The subject below which facts are replayed. Raises ``Invalid`` (code ``invalid_subject``) unless it is a plain
    subject outside those of the services and the server.
    """
    tokens = text.split(".")
    if not all(_TOKEN.fullmatch(token) for token in tokens) or len(text) > MAX_PREFIX:
        raise Invalid(
            "invalid_subject", f"{text[:80]!r} is no subject: tokens of letters, digits, - and _, no wildcards."
        )
    if tokens[0].lower() in RESERVED or tokens[0].startswith("_"):
        raise Invalid(
            "invalid_subject", f"Subjects below {tokens[0]!r} are the services' own; replay onto another one."
        )
    return text


def replayed(prefix: str, subject: str, type_: str) -> str:
    """Where a replayed fact is published: ``<prefix>.<workspace>.<kind>.<id>.<name>``; CloudEvents subject and type."""
    return ".".join((prefix, *subject.split("/"), type_.split(".")[1]))
