"""The list of experiments with what each has recorded."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.domain import names
from trialbook.queries import PAGE_LIMIT, Activity, LogPage, Page, RunActivity, RunList, RunLogs, Sql, SqlResult
from trialbook_gateway.dialects.marketplace.experiments import DIALECT, LABEL, SCOPE, Experiment
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.reading import pages
from trialbook_gateway.services import Caller, Services

_page = msgspec.json.Decoder(Page).decode
_table = msgspec.json.Decoder(SqlResult).decode
_CONTESTED = """
SELECT aggregate, arg_max(type, sequence), arg_max(json_extract_string(data, '$.owner'), sequence) FROM facts
WHERE kind = 'name' AND sequence <= ? GROUP BY aggregate HAVING count(*) > 1
"""
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
        # What earlier attempts logged counts too, as it does among the logs.
        if (activity := activities.get(run.id)) is not None and activity.attempt > 1:
            summary["logs_count"] = await logs_total(services, caller, run)
    found.sort(key=lambda summary: summary["first_activity"] or "", reverse=True)
    return found[:limit] if limit is not None and limit > 0 else found


async def logs_total(services: Services, caller: Caller, run: Experiment) -> int:
    """Log entries of all attempts of a run."""
    query = RunLogs(id=run.id, limit=1, at_least_signals=run.signals)
    answer = await services.ask.ask(caller.workspace, query, services.settings.ask_timeout_s)
    return int(msgspec.json.decode(answer.result or b"null", type=LogPage).total)


async def runs_labelled(
    services: Services, caller: Caller, name: str, *, brief: bool = False
) -> tuple[list[Experiment], int]:
    """Every run that ever bore the name, newest first, with an empty name every experiment's; and the ledger sequence
    as of which that is so.
    """
    labels = {LABEL: name} if name else {}
    found: list[Experiment] = []
    at_least = await services.log.last_sequence()  # whatever was acknowledged before the question is in the answer
    query = RunList(dialect=DIALECT, labels=labels, limit=PAGE_LIMIT, brief=brief, at_least=at_least)
    seen = 0
    async for answer in pages(services, caller, query):
        seen = seen or answer.facts
        found += msgspec.convert(_page(answer.result or b"{}").items, list[Experiment])
    return found, seen


async def _named_runs(services: Services, caller: Caller) -> list[Experiment]:
    """One run per name: the one that bore it when the runs were listed.

    A run that was replaced does not come back when the one that replaced it is deleted.
    """
    runs, seen = await runs_labelled(services, caller, "", brief=True)
    moved = await _moved(services, caller, seen)
    ids = {name: name_aggregate(caller.workspace, SCOPE, name).id for name in {run.name for run in runs} if name}
    return [run for run in runs if run.name and moved.get(ids[run.name], run.id) == run.id]


async def _moved(services: Services, caller: Caller, seen: int) -> dict[str, str]:
    """Who bore each name that had changed hands by then, as its claims and releases say; empty: nobody. Every other
    name belongs to the only run that ever claimed it.
    """
    question = Sql(sql=_CONTESTED, params=[seen], max_rows=MAX_CONTESTED, at_least=seen)
    body, _ = await services.ask.ask_bytes(caller.workspace, question, services.settings.ask_timeout_s)
    return {name: owner if type_ == names.Claimed.TYPE else "" for name, type_, owner in _table(body).rows}


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
