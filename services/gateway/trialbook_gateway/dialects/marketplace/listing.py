"""The list of experiments with what each has recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from trialbook.queries import PAGE_LIMIT, Activity, LogPage, Page, RunActivity, RunList, RunLogs, Sql, SqlResult
from trialbook_gateway.dialects.marketplace.experiments import DIALECT, LABEL, SCOPE, Experiment, owner_of
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.services import Caller, Services

_page = msgspec.json.Decoder(Page).decode
_table = msgspec.json.Decoder(SqlResult).decode
_CONTESTED = "SELECT aggregate FROM facts WHERE kind = 'name' GROUP BY aggregate HAVING count(*) > 1"
MAX_CONTESTED = 100_000
_activities = msgspec.json.Decoder(list[Activity]).decode
PROVIDER = "llm_provider"


async def summaries(services: Services, caller: Caller, limit: int | None) -> list[dict[str, Any]]:
    """All experiments, newest first activity first, those without activity last; ``limit`` absent or <= 0: all."""
    runs = await _named_runs(services, caller)
    activities: dict[str, Activity] = {}
    for start in range(0, len(runs), PAGE_LIMIT):
        ids = [run.id for run in runs[start : start + PAGE_LIMIT]]
        answer = await services.ask.ask(caller.workspace, RunActivity(ids=ids), services.settings.ask_timeout_s)
        activities.update((activity.run, activity) for activity in _activities(answer.result or b"[]"))
    found = [_summary(run, activities.get(run.id)) for run in runs]
    for run, summary in zip(runs, found, strict=True):
        if run.attempt > 1:  # what earlier attempts logged counts too, as it does among the logs
            summary["logs_count"] = await logs_total(services, caller, run)
    found.sort(key=lambda summary: summary["first_activity"] or "", reverse=True)
    return found[:limit] if limit is not None and limit > 0 else found


async def logs_total(services: Services, caller: Caller, run: Experiment) -> int:
    """Log entries of all attempts of a run."""
    query = RunLogs(id=run.id, limit=1, at_least_signals=run.signals)
    answer = await services.ask.ask(caller.workspace, query, services.settings.ask_timeout_s)
    return int(msgspec.json.decode(answer.result or b"null", type=LogPage).total)


async def runs_labelled(services: Services, caller: Caller, name: str, *, brief: bool = False) -> list[Experiment]:
    """Every run that ever bore the name, newest first; with an empty name every experiment's."""
    labels = {LABEL: name} if name else {}
    found: list[Experiment] = []
    cursor = ""
    at_least = await services.log.last_sequence()  # whatever was acknowledged before the question is in the answer
    while True:
        query = RunList(dialect=DIALECT, labels=labels, limit=PAGE_LIMIT, cursor=cursor, brief=brief, at_least=at_least)
        answer = await services.ask.ask(caller.workspace, query, services.settings.ask_timeout_s)
        page = _page(answer.result or b"{}")
        found += msgspec.convert(page.items, list[Experiment])
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


async def _named_runs(services: Services, caller: Caller) -> list[Experiment]:
    """One run per name: the one that bears it now. Where a name was claimed or released again the ledger says who.

    A run that was replaced does not come back when the one that replaced it is deleted.
    """
    runs = [run for run in await runs_labelled(services, caller, "", brief=True) if run.name]
    contested = await _contested(services, caller)
    names = {str(run.name) for run in runs}
    moved = [name for name in names if name_aggregate(caller.workspace, SCOPE, name).id in contested]
    owners = await asyncio.gather(*(owner_of(services, caller.workspace, name) for name in moved))
    bearer = {name: owner for name, (owner, _) in zip(moved, owners, strict=True)}
    return [run for run in runs if bearer.get(str(run.name), run.id) == run.id]


async def _contested(services: Services, caller: Caller) -> frozenset[str]:
    """Ids of the names that changed hands: every other name belongs to the only run that ever claimed it."""
    question = Sql(sql=_CONTESTED, max_rows=MAX_CONTESTED, at_least=await services.log.last_sequence())
    body, _ = await services.ask.ask_bytes(caller.workspace, question, services.settings.ask_timeout_s)
    return frozenset(row[0] for row in _table(body).rows)


def _summary(run: Experiment, activity: Activity | None) -> dict[str, Any]:
    rows = activity.rows if activity else {}
    return {
        "schema_name": run.name,
        "first_activity": activity.first_row_at.get("agent") if activity else None,
        "last_activity": activity.last_at if activity else None,
        "agents_count": rows.get("agent", 0),
        "actions_count": rows.get("action", 0),
        "logs_count": activity.logs if activity else 0,
        "llm_providers": [run.labels[PROVIDER]] if PROVIDER in run.labels else [],
    }
