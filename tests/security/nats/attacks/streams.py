"""Attacks on the streams and consumers, and by answers that go where the attacker could not write."""

from __future__ import annotations

import asyncio

from tests.security.nats.attacks.kit import EVENT, FACT, NEXT, THEIR_FACT, answered, attack
from tests.security.nats.world import MINE, SURELY_S, THEIRS, World, command
from trialbook.log.connect import settled


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
    return await answered(world.intruder, [f"{p}.{s}" for p in ("$JS.API", "js") for s in subjects], body)


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
    return await answered(world.intruder, [f"{p}.{s}" for p in ("$JS.API", "js") for s in subjects], {"seq": 1})


@attack
async def look_at_the_streams(world: World) -> str:
    names = ["INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.FACTS", "CONSUMER.NAMES.FACTS", "CONSUMER.LIST.FACTS"]
    return await answered(world.intruder, [f"{p}.{name}" for p in ("$JS.API", "js") for name in names])


@attack
async def destroy_the_streams(world: World) -> str:
    names = ["PURGE", "DELETE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "PEER.REMOVE", "LEADER.STEPDOWN"]
    subjects = [f"{p}.STREAM.{name}.{s}" for p in ("$JS.API", "js") for name in names for s in ("FACTS", "SIGNALS")]
    return await answered(world.intruder, subjects, {"name": "FACTS", "seq": 1, "subjects": ["x"]})


@attack
async def destroy_a_consumer(world: World) -> str:
    names = ["DELETE", "PAUSE", "UNPIN", "LEADER.STEPDOWN"]
    subjects = [f"{p}.CONSUMER.{n}.FACTS.victor@main" for p in ("$JS.API", "js") for n in names]
    own = await command(world.intruder, MINE, "consumer.delete", {"name": "main", "stream": "signals"})
    return await answered(world.intruder, subjects) or ("" if own["error"]["code"] == "consumer_not_found" else "?")


@attack
async def pull_from_anothers_consumer(world: World) -> str:
    subjects = [f"{p}.CONSUMER.MSG.NEXT.FACTS.victor@main" for p in ("$JS.API", "js")]
    info = [f"{p}.CONSUMER.INFO.FACTS.victor@main" for p in ("$JS.API", "js")]
    return await answered(world.intruder, subjects, NEXT) or await answered(world.intruder, info)


@attack
async def acknowledge_for_others(world: World) -> str:
    inbox = world.victim.nc.new_inbox()
    subscription = await world.victim.nc.subscribe(inbox)
    await world.victim.nc.publish("js.CONSUMER.MSG.NEXT.FACTS.victor@main", b'{"batch":1}', reply=inbox)
    message = await subscription.next_msg(timeout=SURELY_S)
    await world.intruder.send(message.reply, b"+ACK")
    await world.intruder.send(message.reply, b"+TERM")
    views = (await command(world.victim, THEIRS, "consumer.list", {}))["result"]
    await message.respond(b"-NAK")
    await settled(world.victim.nc)
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
