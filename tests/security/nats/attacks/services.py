"""Attacks by what is asked and commanded, and on the way in."""

from __future__ import annotations

import asyncio

import msgspec

from tests.security.nats.attacks.kit import FACT, THEIR_FACT, answered, attack, seed_of
from tests.security.nats.raw import Raw
from tests.security.nats.world import MINE, THEIRS, World, command, heard_enough
from trialbook.nkeys import new_user, user_of
from trialbook_deploy.nats_accounts import MAX_CONNECTIONS


@attack
async def ask_another_workspace(world: World) -> str:
    names = ["run.list", "event.list", "event.lines", "sql", "run.get", "item.list", "health", "metric.compare"]
    return await answered(
        world.intruder, [f"ask.{THEIRS}.{name}" for name in names], {"sql": "SELECT 1", "kind": "file"}
    )


@attack
async def ask_across_workspaces(world: World) -> str:
    subjects = [
        "ask._.run.list",
        "ask._.event.list",
        "ask._.rebuild",
        f"ask.{MINE}.rebuild",
        f"ask.{MINE}.seal",
        "ask.*.run.list",
    ]
    return await answered(world.intruder, subjects, b"{}")


@attack
async def ask_what_is_the_operators(world: World) -> str:
    names = ["segments", "state", "checkpoint", "facts", "tile", "manifest"]
    names = [*(f"ledger.{name}" for name in names), "seal", "rebuild", "health", "keys", "erase"]
    body = {"kind": "run", "id": "0" * 32}
    return await answered(world.intruder, [f"ask.{MINE}.{name}" for name in names], body)


@attack
async def read_others_by_ones_own_questions(world: World) -> str:
    runs = msgspec.json.decode(await world.victim.ask(f"ask.{THEIRS}.run.list", {"limit": 1}))
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
    return await answered(world.intruder, [*subjects, "cmd.*.run.submit", "cmd._.run.submit"], body)


@attack
async def command_what_is_another_workspaces(world: World) -> str:
    runs = msgspec.json.decode(await world.victim.ask(f"ask.{THEIRS}.run.list", {"limit": 1}))
    body = {"id": runs["result"]["items"][0]["id"]}
    verbs = ["start", "cancel", "pause", "resume", "retry", "reset", "delete"]
    return await answered(world.intruder, [f"cmd.{MINE}.run.{verb}" for verb in verbs], body)


@attack
async def read_and_delete_another_workspaces_files(world: World) -> str:
    listed = msgspec.json.decode(await world.victim.ask(f"ask.{THEIRS}.item.list", {"kind": "file"}))
    body = {"id": listed["result"]["items"][0]["id"]}
    subjects = [f"ask.{MINE}.content.file", f"ask.{THEIRS}.content.file", f"question.{THEIRS}.victor.content.file"]
    subjects += [f"cmd.{MINE}.file.delete", f"cmd.{THEIRS}.file.delete", f"cmd.{THEIRS}.victor.file.delete"]
    return await answered(world.intruder, [*subjects, f"cmd.{THEIRS}.file.part.x.0"], body)


@attack
async def upload_as_a_reader(world: World) -> str:
    return await answered(
        world.reader, [f"cmd.{MINE}.file.part.x.0", f"cmd.{MINE}.file.upload", f"cmd.{MINE}.file.abort"], b"x"
    )


@attack
async def command_without_the_right(world: World) -> str:
    return await answered(world.reader, [f"cmd.{MINE}.run.submit", f"cmd.{MINE}.run.delete"], {"workload": "noop"})


@attack
async def forge_who_i_am(world: World) -> str:
    headers = {"Nats-Request-Info": '{"acc":"USER_victor","user":"victor"}', "Trialbook-Workspace": THEIRS}
    headers |= {"X-Request-ID": "forged", "Authorization": "Bearer x"}
    async with world.services.listening("cmd.>") as heard:
        await world.intruder.request(f"cmd.{MINE}.nonsense", b"{}", headers)
        await heard_enough(heard, 1)
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
    raw = await Raw.connect(world.url, seed_of(world, "mallory"))
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
            answer = await world.intruder.ask(subject, text)
            if b'"error"' not in answer:
                return f"{subject} {text[:40]!r}: {answer!r}"
    for text in texts[:7]:
        answer = await world.intruder.ask(f"ask.{MINE}.run.list", text)
        if b'"error"' not in answer:
            return f"ask {text[:40]!r}: {answer!r}"
    return ""


@attack
async def malformed_headers(world: World) -> str:
    raw = await Raw.connect(world.url, seed_of(world, "mallory"))
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
    asked = await world.intruder.ask(f"ask.{MINE}.run.list", b"{}")
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
    return await answered(world.intruder, subjects)


@attack
async def come_in_as_another(world: World) -> str:
    public = {"nkey": new_user().public, "sig": "AAAA"}
    tries = [
        public,
        {"user": "trialbook", "pass": ""},
        {"user": "trialbook", "pass": "tap"},
        {"user": "monitor", "pass": ""},
    ]
    tries += [{"nkey": user_of(seed_of(world, "victor")).public, "sig": "AAAA"}, {"user": "victor", "pass": "victor"}]
    gained = [str(options) for options in tries if await Raw.welcome(world.url, options)]
    return "; ".join(gained)


@attack
async def more_connections_than_one_needs(world: World) -> str:
    opened: list[Raw] = []
    try:
        while len(opened) < MAX_CONNECTIONS:
            opened.append(await Raw.connect(world.url, seed_of(world, "mallory")))
    except ConnectionRefusedError:
        return ""
    finally:
        await asyncio.gather(*(one.close() for one in opened))
    return f"{MAX_CONNECTIONS} connections more"
