"""What somebody with a connection to NATS might try. Each attack gives what it gained; empty: it was refused.

An attack that changes the ledger has won too, whatever it says: that is compared around each of them. The program
tries all of them on a stack of its own: ``python -m tests.security.nats.attacks``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from tests.security.nats.raw import Raw
from tests.security.nats.world import MINE, THEIRS, Party, World, command, embedded_world
from trialbook.nkeys import new_user, user_of
from trialbook_deploy.nats_accounts import MAX_CONNECTIONS

Attack = Callable[[World], Awaitable[str]]
ATTACKS: dict[str, Attack] = {}
FACT = f"fact.{MINE}.run.{'e' * 32}.created"
THEIR_FACT = f"fact.{THEIRS}.run.{'e' * 32}.created"
NEXT = {"batch": 5, "no_wait": True}
EVENT = (
    b'{"specversion":"1.0","id":"evil","type":"run.created.v1","subject":"lab/run/e","source":"x","time":"2026-01-01"}'
)


def attack(function: Attack) -> Attack:
    """Register an attack under its name."""
    ATTACKS[function.__name__] = function
    return function


async def _answered(party: Party, subjects: list[str], body: object = b"") -> str:
    """Which of the subjects was answered with anything but a refusal."""
    answers = await asyncio.gather(*(party.request(subject, body) for subject in subjects))
    gained = [f"{s}: {a[:200]!r}" for s, a in zip(subjects, answers, strict=True) if a and b'"error"' not in a]
    return "; ".join(gained)


async def _overhears(world: World, party: Party, subject: str, queue: str = "") -> str:
    """What of the victim's comes by: facts, questions, answers, commands."""
    async with party.listening(subject, queue) as heard:
        await world.fact_of_victim()
        asked = await world.victim.request(f"ask.{THEIRS}.run.list", {"limit": 1})
        if asked is None:
            return "the victim's question was swallowed"
    return "; ".join(message.subject for message in heard)


def _overhearing(name: str, subject: str, queue: str = "") -> None:
    async def overhear(world: World) -> str:
        return await _overhears(world, world.intruder, subject, queue)

    overhear.__name__ = name
    attack(overhear)


for _name, _subject in {
    "hear_another_workspace": f"tap.fact.{THEIRS}.>",
    "hear_another_workspaces_signals": f"tap.signal.{THEIRS}.>",
    "hear_all_taps": "tap.>",
    "hear_everything": ">",
    "hear_inboxes_of_others": "_INBOX.>",
    "hear_the_servers_own_replies": "_R_.>",
    "hear_the_system": "$SYS.>",
    "hear_acknowledgements": "$JS.>",
    "hear_advisories": "$JS.EVENT.ADVISORY.>",
    "hear_facts_as_stored": "fact.>",
    "hear_questions": "ask.>",
}.items():
    _overhearing(_name, _subject)
for _name, _subject, _queue in (
    ("steal_questions_of_the_projector", "ask.*.>", "projector-direct"),
    ("steal_questions_as_faststream", f"ask.{THEIRS}.run.list", "projector"),
    ("steal_commands", "cmd.*.*.>", "gateway"),
    ("steal_commands_of_a_workspace", f"cmd.{THEIRS}.>", "gateway"),
):
    _overhearing(_name, _subject, _queue)


@attack
async def publish_into_the_streams(world: World) -> str:
    for subject in (FACT, THEIR_FACT, f"signal.{MINE}.run.e.log", "presence.runner.evil", "blob.e.meta", "key.e"):
        await world.intruder.send(subject, EVENT)
        if await world.intruder.request(subject, EVENT):
            return f"{subject} was stored"
    return ""


@attack
async def forge_a_tap(world: World) -> str:
    async with world.victim.listening(f"tap.fact.{THEIRS}.>") as heard:
        await world.intruder.send(f"tap.{THEIR_FACT}", EVENT)
        await world.intruder.send(f"tap.{FACT}", EVENT)
    return "; ".join(message.subject for message in heard)


@attack
async def consumer_with_a_foreign_deliver_subject(world: World) -> str:
    config = {"name": "evil", "durable_name": "evil", "deliver_subject": FACT, "ack_policy": "none"}
    body = {"stream_name": "FACTS", "config": config}
    subjects = ["CONSUMER.CREATE.FACTS.evil", "CONSUMER.DURABLE.CREATE.FACTS.evil", "CONSUMER.CREATE.FACTS"]
    return await _answered(world.intruder, [f"{p}.{s}" for p in ("$JS.API", "js") for s in subjects], body)


@attack
async def consumer_by_command_with_more_than_is_asked(world: World) -> str:
    tries = [
        {"name": "second", "deliver_subject": FACT},
        {"name": "second", "filter": f"fact.{THEIRS}.>"},
        {"name": "second", "filter": "fact.>"},
        {"name": "second", "filter": f"fact.{MINE}.>.fact.{THEIRS}.>"},
        {"name": "second", "filter": f"fact.{MINE}.* fact.{THEIRS}.*"},
        {"name": "second", "stream": "BLOBS"},
        {"name": "../victor@main"},
        {"name": "victor@main"},
        {"name": "second", "after": -5},
        {"name": "second", "after": 1, "since": "2026-01-01T00:00:00Z"},
        {"name": "main", "after": 1},
    ]
    answers = [await command(world.intruder, MINE, "consumer.create", body) for body in tries]
    return "; ".join(f"{body}" for body, answer in zip(tries, answers, strict=True) if not answer.get("error"))


@attack
async def read_single_messages(world: World) -> str:
    subjects = ["STREAM.MSG.GET.FACTS", "DIRECT.GET.FACTS", f"DIRECT.GET.FACTS.{THEIR_FACT}", "DIRECT.GET.KEYS.key.e"]
    return await _answered(world.intruder, [f"{p}.{s}" for p in ("$JS.API", "js") for s in subjects], {"seq": 1})


@attack
async def look_at_the_streams(world: World) -> str:
    names = ["INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.FACTS", "CONSUMER.NAMES.FACTS", "CONSUMER.LIST.FACTS"]
    return await _answered(world.intruder, [f"{p}.{name}" for p in ("$JS.API", "js") for name in names])


@attack
async def destroy_the_streams(world: World) -> str:
    names = ["PURGE", "DELETE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "PEER.REMOVE", "LEADER.STEPDOWN"]
    subjects = [f"{p}.STREAM.{name}.{s}" for p in ("$JS.API", "js") for name in names for s in ("FACTS", "SIGNALS")]
    return await _answered(world.intruder, subjects, {"name": "FACTS", "seq": 1, "subjects": ["x"]})


@attack
async def destroy_a_consumer(world: World) -> str:
    names = ["DELETE", "PAUSE", "UNPIN", "LEADER.STEPDOWN"]
    subjects = [f"{p}.CONSUMER.{n}.FACTS.victor@main" for p in ("$JS.API", "js") for n in names]
    own = await command(world.intruder, MINE, "consumer.delete", {"name": "main", "stream": "signals"})
    return await _answered(world.intruder, subjects) or ("" if own["error"]["code"] == "consumer_not_found" else "?")


@attack
async def pull_from_anothers_consumer(world: World) -> str:
    subjects = [f"{p}.CONSUMER.MSG.NEXT.FACTS.victor@main" for p in ("$JS.API", "js")]
    info = [f"{p}.CONSUMER.INFO.FACTS.victor@main" for p in ("$JS.API", "js")]
    return await _answered(world.intruder, subjects, NEXT) or await _answered(world.intruder, info)


@attack
async def acknowledge_for_others(world: World) -> str:
    inbox = world.victim.nc.new_inbox()
    subscription = await world.victim.nc.subscribe(inbox)
    await world.victim.nc.publish("js.CONSUMER.MSG.NEXT.FACTS.victor@main", b'{"batch":1}', reply=inbox)
    message = await subscription.next_msg(timeout=2)
    await world.intruder.send(message.reply, b"+ACK")
    await world.intruder.send(message.reply, b"+TERM")
    views = (await command(world.victim, THEIRS, "consumer.list", {}))["result"]
    await message.respond(b"-NAK")
    await world.victim.nc.flush()
    await asyncio.sleep(0.1)
    return "" if views[0]["unacknowledged"] == 1 else f"acknowledged: {views}"


@attack
async def answers_to_a_fact_subject(world: World) -> str:
    async with world.services.listening("fact.>") as heard:
        for reply in (FACT, THEIR_FACT):
            await world.intruder.send(f"ask.{MINE}.run.list", b"{}", reply)
            await world.intruder.send(f"cmd.{MINE}.consumer.list", b"{}", reply)
            await world.intruder.send(f"cmd.{MINE}.nonsense", b"{}", reply)
    return "; ".join(message.subject for message in heard)


@attack
async def pulled_messages_to_a_fact_subject(world: World) -> str:
    async with world.services.listening("fact.>") as heard:
        for reply in (FACT, "blob.e.meta", f"signal.{MINE}.run.e.log"):
            await world.intruder.send("js.CONSUMER.MSG.NEXT.FACTS.mallory@main", NEXT, reply)
            await world.intruder.send("js.CONSUMER.INFO.FACTS.mallory@main", b"", reply)
    return "; ".join(message.subject for message in heard)


@attack
async def next_by_acknowledgement_to_a_fact_subject(world: World) -> str:
    async with world.services.listening("fact.>") as heard:
        for number in range(1, 6):
            await world.intruder.send(f"$JS.ACK.FACTS.mallory@main.1.{number}.{number}.0.0", b"+NXT", FACT)
    return "; ".join(message.subject for message in heard)


@attack
async def answers_to_the_victim(world: World) -> str:
    async with world.victim.listening("_INBOX.>") as inbox, world.victim.listening(f"tap.fact.{THEIRS}.>") as tap:
        for reply in ("_INBOX.victim", f"tap.{THEIR_FACT}"):
            await world.intruder.send(f"ask.{MINE}.run.list", b"{}", reply)
            await world.intruder.send("js.CONSUMER.MSG.NEXT.FACTS.mallory@main", NEXT, reply)
    return "; ".join(message.subject for message in (*inbox, *tap))


@attack
async def answers_as_commands_and_requests(world: World) -> str:
    """An answer that is delivered to a subject which is imported again would be a request in somebody's name."""
    async with world.services.listening("cmd.>") as commands, world.services.listening("ask.*.run.list") as asks:
        for reply in (f"cmd.{THEIRS}.run.submit", f"ask.{THEIRS}.run.list", "cmd.lab.victor.run.submit"):
            await world.intruder.send(f"ask.{MINE}.run.get", b"{}", reply)
            await world.reader.send(f"ask.{MINE}.run.get", b"{}", reply)
    foreign = [m.subject for m in (*commands, *asks) if f".{THEIRS}." in m.subject or ".victor." in m.subject]
    return "; ".join(foreign)


@attack
async def forged_replies(world: World) -> str:
    async with world.victim.listening("_INBOX.>") as heard:
        await world.intruder.send("_R_.guess", b"forged")
        await world.intruder.send("_INBOX.victim", b"forged")
    return "; ".join(message.subject for message in heard)


@attack
async def ask_another_workspace(world: World) -> str:
    names = ["run.list", "event.list", "event.lines", "sql", "run.get", "item.list", "health", "metric.compare"]
    return await _answered(
        world.intruder, [f"ask.{THEIRS}.{name}" for name in names], {"sql": "SELECT 1", "kind": "file"}
    )


@attack
async def ask_across_workspaces(world: World) -> str:
    subjects = ["ask._.run.list", "ask._.event.list", "ask._.rebuild", f"ask.{MINE}.rebuild", f"ask.{MINE}.seal", "ask.*.run.list"]
    return await _answered(world.intruder, subjects, b"{}")


@attack
async def read_others_by_ones_own_questions(world: World) -> str:
    runs = msgspec.json.decode((await world.victim.request(f"ask.{THEIRS}.run.list", {"limit": 1})) or b"{}")
    run = runs["result"]["items"][0]["id"]
    sql = [
        f"SELECT * FROM {table} WHERE workspace = '{THEIRS}'" for table in ("runs", "facts", "book.runs", "book.facts")
    ]
    sql += [f"SELECT '{THEIRS}' FROM read_parquet('*')", "ATTACH 'x.db'", "SELECT * FROM duckdb_tables()"]
    bodies = [("run.get", {"id": run}), ("run.facts", {"id": run}), ("run.logs", {"id": run}), ("run.list", {})]
    bodies += [
        ("event.list", {"aggregate": run}),
        ("run.activity", {"ids": [run]}),
        *(("sql", {"sql": s}) for s in sql),
    ]
    bodies += [("metric.compare", {"metric": "m", "runs": [run]}), ("item.get", {"kind": "file", "id": run})]
    bodies += [("event.lines", {"aggregate": run}), ("audit.trail", {"about": run}), ("run.metrics", {"id": run})]
    gained = []
    for name, body in bodies:
        reply = await world.intruder.request(f"ask.{MINE}.{name}", body) or b""
        answer = reply.split(b'"error"')[0]
        if THEIRS.encode() in answer or (
            run.encode() in answer and b'"records":0' not in answer and name != "run.activity"
        ):
            gained.append(f"{name} {body}: {reply[:200]!r}")
    return "; ".join(gained)


@attack
async def command_another_workspace(world: World) -> str:
    body = {"workload": "noop"}
    subjects = [f"cmd.{THEIRS}.run.submit", f"cmd.{THEIRS}.victor.run.submit", f"cmd.{MINE}.victor.run.submit"]
    return await _answered(world.intruder, [*subjects, "cmd.*.run.submit", "cmd._.run.submit"], body)


@attack
async def command_what_is_another_workspaces(world: World) -> str:
    runs = msgspec.json.decode((await world.victim.request(f"ask.{THEIRS}.run.list", {"limit": 1})) or b"{}")
    body = {"id": runs["result"]["items"][0]["id"]}
    verbs = ["start", "cancel", "pause", "resume", "retry", "reset", "delete"]
    return await _answered(world.intruder, [f"cmd.{MINE}.run.{verb}" for verb in verbs], body)


@attack
async def command_without_the_right(world: World) -> str:
    return await _answered(world.reader, [f"cmd.{MINE}.run.submit", f"cmd.{MINE}.run.delete"], {"workload": "noop"})


@attack
async def forge_who_i_am(world: World) -> str:
    headers = {"Nats-Request-Info": '{"acc":"USER_victor","user":"victor"}', "Trialbook-Workspace": THEIRS}
    headers |= {"X-Request-ID": "forged", "Authorization": "Bearer x"}
    async with world.services.listening("cmd.>") as heard:
        await world.intruder.request(f"cmd.{MINE}.nonsense", b"{}", headers)
    [message] = heard
    told = str((message.headers or {}).get("Nats-Request-Info"))
    return (
        ""
        if message.subject == f"cmd.{MINE}.mallory.nonsense" and "victor" not in told
        else f"{message.subject} {told}"
    )


@attack
async def headers_of_the_ledger(world: World) -> str:
    headers = {"Nats-Expected-Last-Sequence": "0", "Nats-Msg-Id": "e", "Nats-Rollup": "all", "Nats-TTL": "1s"}
    headers |= {
        "Nats-Batch-Id": "e",
        "Nats-Batch-Sequence": "1",
        "Nats-Batch-Commit": "1",
        "Nats-Marker-Reason": "Purge",
    }
    for subject in (FACT, f"ask.{MINE}.run.list", f"cmd.{MINE}.nonsense"):
        await world.intruder.send(subject, b"{}", FACT, headers)
    return ""


@attack
async def trace_to_a_fact_subject(world: World) -> str:
    async with world.services.listening("fact.>") as heard:
        for destination in (FACT, THEIR_FACT):
            headers = {"Nats-Trace-Dest": destination, "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
            await world.intruder.send(f"ask.{MINE}.run.list", b"{}", "_INBOX.x", headers)
    return "; ".join(message.subject for message in heard)


@attack
async def too_much_at_once(world: World) -> str:
    raw = await Raw.connect(world.url, _seed(world, "mallory"))
    said = await raw.say(f"PUB cmd.{MINE}.run.submit {5 * 1024 * 1024}\r\n".encode() + b"[" * 1024 * 1024)
    return "" if b"Maximum Payload Violation" in said else f"{said!r}"


@attack
async def nonsense_of_every_kind(world: World) -> str:
    deep = b"[" * 100_000
    texts = [
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'""',
        deep,
        b'{"workload": NaN}',
        b'{"workload":"noop","workload":"x"}',
    ]
    texts += [
        b'{"workload":"\\u0000"}',
        b'{"workload":"noop","params":{"x":' + b"1" * 5000 + b"}}",
        b"\x00",
        b'{"id":7}',
    ]
    for subject in (f"cmd.{MINE}.run.submit", f"cmd.{MINE}.run.cancel", f"cmd.{MINE}.consumer.create"):
        for text in texts:
            answer = await world.intruder.request(subject, text)
            if answer is None or b'"error"' not in answer:
                return f"{subject} {text[:40]!r}: {answer!r}"
    for text in texts[:7]:
        answer = await world.intruder.request(f"ask.{MINE}.run.list", text)
        if answer is None or b'"error"' not in answer:
            return f"ask {text[:40]!r}: {answer!r}"
    return ""


@attack
async def malformed_headers(world: World) -> str:
    raw = await Raw.connect(world.url, _seed(world, "mallory"))
    blocks = [
        b"NATS/1.0\r\nIf-Match: \xff\xfe\r\n\r\n",
        b"NATS/1.0\r\n: \r\nA\r\n\r\n",
        b"NATS/1.0 999 x\r\nA:B\r\n\r\n",
    ]
    blocks += [
        b"NATS/1.0\r\nIdempotency-Key: " + b"k" * 60_000 + b"\r\n\r\n",
        b"rubbish\r\n\r\n",
        b"NATS/1.0\r\nA: \x00\r\n\r\n",
    ]
    for block in blocks:
        for subject in (f"cmd.{MINE}.run.cancel", f"ask.{MINE}.run.list", f"ask.{MINE}.run.get"):
            await raw.send(subject, block, b"{")
    await raw.close()
    alive = await command(world.intruder, MINE, "consumer.list", {})
    asked = await world.intruder.request(f"ask.{MINE}.run.list", b"{}")
    return "" if alive.get("result") and asked else "a service has gone deaf"


@attack
async def command_the_server(world: World) -> str:
    subjects = ["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.SERVICES.CONNZ"]
    subjects += [
        "$SYS.REQ.SERVER.X.RELOAD",
        "$SYS.REQ.SERVER.X.KICK",
        "$SYS.REQ.SERVER.X.LDM",
        "$SYS.REQ.CLAIMS.UPDATE",
    ]
    return await _answered(world.intruder, subjects)


@attack
async def come_in_as_another(world: World) -> str:
    public = {"nkey": new_user().public, "sig": "AAAA"}
    tries = [
        public,
        {"user": "trialbook", "pass": ""},
        {"user": "trialbook", "pass": "tap"},
        {"user": "monitor", "pass": ""},
    ]
    tries += [{"nkey": user_of(_seed(world, "victor")).public, "sig": "AAAA"}, {"user": "victor", "pass": "victor"}]
    gained = [str(options) for options in tries if await Raw.welcome(world.url, options)]
    return "; ".join(gained)


@attack
async def more_connections_than_one_needs(world: World) -> str:
    opened: list[Raw] = []
    try:
        while len(opened) < MAX_CONNECTIONS:
            opened.append(await Raw.connect(world.url, _seed(world, "mallory")))
    except ConnectionRefusedError:
        return ""
    finally:
        await asyncio.gather(*(one.close() for one in opened))
    return f"{MAX_CONNECTIONS} connections more"


@attack
async def anonymous_says_something(world: World) -> str:
    if world.anonymous is None:
        return ""
    subjects = [
        FACT,
        f"ask.{MINE}.run.list",
        f"cmd.{MINE}.run.submit",
        "$JS.API.INFO",
        "js.STREAM.NAMES",
        "$SYS.REQ.SERVER.PING",
    ]
    for subject in subjects:
        await world.anonymous.send(subject, EVENT, "tap.answer")
    return await _answered(world.anonymous, subjects, EVENT)


@attack
async def anonymous_hears_more_than_taps(world: World) -> str:
    if world.anonymous is None:
        return ""
    for subject in (">", "_INBOX.>", "_R_.>", "$SYS.>", "ask.>", "cmd.>", "fact.>", "$JS.>"):
        if heard := await _overhears(world, world.anonymous, subject):
            return heard
    return ""


def _seed(world: World, name: str) -> str:
    return (world.stack.data_dir.parent / f"{name}.nk").read_text()


async def _main() -> int:
    lost = 0
    with tempfile.TemporaryDirectory() as directory:
        async with embedded_world(Path(directory)) as world:
            for name, function in ATTACKS.items():
                gained = await function(world)
                lost += bool(gained)
                sys.stdout.write(f"{'GAINED ' + gained if gained else 'refused'}  {name}\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
