"""The accounts of a NATS server as configuration text: the services', the system's, the tap's, one for each user.

What a user may reach is decided by what its account imports, not by permissions alone. The server replaces the reply
subject of whatever crosses between accounts, so nobody can have us publish where he may not; and the name in
``cmd.<workspace>.<user>.<verb>`` and ``question.<workspace>.<user>.<query>`` is put there by the server.
See docs/decisions/0015-an-account-for-each-user.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from trialbook import subjects
from trialbook.outside import QUESTIONS, SLOTS, STREAMS, Outsider, durable

SERVICES, SYSTEM, TAP = "SERVICES", "SYS", "TAP"
SERVICE_USER, SYSTEM_USER, TAP_USER = "trialbook", "monitor", "tap"
USERS_FILE = "users.conf"
MAX_PAYLOAD = "4MB"
MAX_CONNECTIONS = 32
MAX_SUBSCRIPTIONS = 1000
USERS_HEADER = "# Made by `trialbook nats user`. Do not edit: users.json is what it is made from.\n"

SERVICES_TEXT = """\
  {services} {{
    jetstream: enabled
    users: [ {{ user: {user}, password: {password} }} ]
    exports: [
{exports}
    ]
  }}
"""
SYSTEM_TEXT = """\
  {system} {{
    users: [ {{
      user: {user}, password: {password}
      permissions {{ publish {{ allow: {asks} }}, subscribe {{ allow: {inboxes} }} }}
    }} ]
  }}
"""
TAP_TEXT = """\
  {tap} {{
    users: [ {{
      user: {user}, password: {user}
      permissions {{ publish {{ deny: ">" }}, subscribe {{ allow: {taps} }} }}
    }} ]
    imports: [ {{ stream: {{ account: {services}, subject: {taps} }} }} ]
  }}
"""
USER_TEXT = """\
{account} {{
  users: [ {{
    nkey: {key}
    permissions {{
      publish {{ allow: {publish} }}
      subscribe {{ allow: {subscribe} }}
    }}
  }} ]
  limits {{ max_connections: {connections}, max_subscriptions: {subscriptions}, max_payload: {payload} }}
  imports: [
{imports}
  ]
}}
"""


def exports() -> list[str]:
    """What leaves the services' account, one line each."""
    streamed = [subjects.pull_next("*", "*")]
    single = [subjects.QUESTIONS_ALL, subjects.COMMANDS_ALL, subjects.consumer_info("*", "*"), subjects.acks("*", "*")]
    return [
        f"{{ stream: {_quote(subjects.TAPS_ALL)} }}",
        *(f"{{ service: {_quote(subject)}, response: stream }}" for subject in streamed),
        *(f"{{ service: {_quote(subject)} }}" for subject in single),
    ]


def services_text(password: str) -> str:
    """The account of the services."""
    lines = "\n".join(f"      {line}" for line in exports())
    return SERVICES_TEXT.format(services=SERVICES, user=SERVICE_USER, password=_quote(password), exports=lines)


def system_text(password: str) -> str:
    """The system account, with a user who may ask for figures but neither reload nor stop anything."""
    return SYSTEM_TEXT.format(
        system=SYSTEM, user=SYSTEM_USER, password=_quote(password),
        asks=_list(["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.*", "$SYS.REQ.USER.INFO"]),
        inboxes=_quote(subjects.INBOXES_ALL),
    )  # fmt: skip


def tap_text() -> str:
    """The account of those without a name, who may listen to every workspace and say nothing."""
    return TAP_TEXT.format(tap=TAP, user=TAP_USER, services=SERVICES, taps=_quote(subjects.TAPS_ALL))


def users_text(users: Iterable[Outsider]) -> str:
    """The accounts of all users: what `users.conf` holds."""
    return USERS_HEADER + "".join(user_text(user) for user in users)


def user_text(user: Outsider) -> str:
    """One user's account: nothing of another workspace can be imported by what it does."""
    workspace = user.workspace
    taps = [subjects.tap(subjects.facts_in(workspace)), subjects.tap(subjects.signals_in(workspace))]
    verbs = "consumer.>" if user.read_only else ">"
    asks, commands = [subjects.ask(workspace, name) for name in QUESTIONS], subjects.command(workspace, verbs)
    imports = [_stream(subject) for subject in taps]
    for name, subject in zip(QUESTIONS, asks, strict=True):
        imports.append(_service(subjects.question_of(workspace, user.name, name), subject))
    imports.append(_service(subjects.command_of(workspace, user.name, verbs), commands))
    publish = [*asks, commands]
    for consumer in (durable(user.name, slot) for slot in SLOTS):
        acks = subjects.acks("*", consumer)
        imports.append(_service(acks))
        publish.append(acks)
        for stream in STREAMS.values():
            for subject in (subjects.pull_next(stream, consumer), subjects.consumer_info(stream, consumer)):
                imports.append(_service(subject, subjects.below_prefix(subject)))
                publish.append(subjects.below_prefix(subject))
    return USER_TEXT.format(
        account=_quote(account(user.name)), key=user.public_key, publish=_list(publish),
        subscribe=_list([*taps, subjects.INBOXES_ALL]), connections=MAX_CONNECTIONS,
        subscriptions=MAX_SUBSCRIPTIONS, payload=MAX_PAYLOAD, imports="\n".join(f"    {line}" for line in imports),
    )  # fmt: skip


def account(user: str) -> str:
    """Name of a user's account."""
    return f"USER_{user}"


def _stream(subject: str) -> str:
    return f"{{ stream: {{ account: {SERVICES}, subject: {_quote(subject)} }} }}"


def _service(subject: str, local: str = "") -> str:
    to = f", to: {_quote(local)}" if local else ""
    return f"{{ service: {{ account: {SERVICES}, subject: {_quote(subject)} }}{to} }}"


def _quote(text: str) -> str:
    return json.dumps(text)


def _list(texts: list[str]) -> str:
    return json.dumps(texts)
