"""Attacks by listening: to others' facts, questions and answers, and by taking questions away from the services."""

from __future__ import annotations

from tests.security.nats.attacks.kit import EVENT, FACT, answered, attack
from tests.security.nats.world import MINE, THEIRS, Party, World


async def _overhears(world: World, party: Party, subject: str, queue: str = "") -> str:
    """What of the victim's comes by: facts, questions, answers, commands."""
    async with party.listening(subject, queue) as heard:
        await world.fact_of_victim()
        if not await world.victim.ask(f"ask.{THEIRS}.run.list", {"limit": 1}):
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
    return await answered(world.anonymous, subjects, EVENT)


@attack
async def anonymous_hears_more_than_taps(world: World) -> str:
    if world.anonymous is None:
        return ""
    for subject in (">", "_INBOX.>", "_R_.>", "$SYS.>", "ask.>", "cmd.>", "fact.>", "$JS.>"):
        if heard := await _overhears(world, world.anonymous, subject):
            return heard
    return ""
