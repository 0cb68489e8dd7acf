"""/v1/compare: the numbers of several runs beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from trialbook.errors import Invalid, NotFound
from trialbook.ids import parse_id
from trialbook.queries import Sql, SqlResult
from trialbook_gateway import tables
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.comparing import Comparison, Measure, Row, compare, table
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.reading import seen_in
from trialbook_gateway.schemas.base import Dated
from trialbook_gateway.services import Caller, Services, caller_of
from trialbook_gateway.tables import Format

router = APIRouter(prefix="/v1", tags=["analysis"], route_class=StrictRoute)
MAX_RUNS = 400
MAX_MEASURES = 500
MAX_NAMED = 64
MAX_DEPTH = 4
TIMEOUT_S, MARGIN_S = 10.0, 2.0
DIRECTIONS = {"higher": "HIGHER", "lower": "LOWER", "at_least": "AT_LEAST", "at_most": "AT_MOST"}
# In one statement, so that a run's numbers are those of its status.
RUNS = """
WITH latest AS (
    SELECT run, attempt, name, arg_max(value, cursor) AS value FROM metrics
    WHERE list_contains(?::VARCHAR[], run) GROUP BY ALL
), measured AS (
    SELECT run, attempt, list(name ORDER BY name) AS names, list(value ORDER BY name) AS last FROM latest GROUP BY ALL
)
SELECT r.id, r.name, r.title, r.workload, r.status, r.result, m.names, m.last
FROM runs AS r LEFT JOIN measured AS m ON m.run = r.id AND m.attempt = r.attempt WHERE list_contains(?::VARCHAR[], r.id)
"""
ABOUT = ("id", "name", "title", "workload", "status")
_decode = msgspec.json.Decoder(SqlResult).decode
Text = Annotated[str, Field(min_length=1, max_length=200)]


class RunsQuery(Dated):
    """Which runs and which of their numbers; a number is named ``metric.<name>`` or ``result.<member>.<member>``."""

    run: Annotated[list[str], Field(min_length=1, max_length=MAX_RUNS, description="Run ids; may be repeated.")]
    measure: Annotated[
        list[Text], Field(default_factory=list, max_length=MAX_NAMED, description="Names; all without it.")
    ]
    better: Annotated[
        list[Text],
        Field(
            default_factory=list,
            max_length=MAX_NAMED,
            description="`name:higher`, `name:lower`, `name:at_least:5` or `name:at_most:0.1`; may be repeated.",
        ),
    ]
    baseline: Annotated[str, Field(max_length=40, description="The run to compare with; the first one.")] = ""
    form: Annotated[Format | None, Field(alias="format", description="Instead of `Accept`.")] = None


@router.get(
    "/compare",
    summary="Numbers of several runs beside each other",
    **operation(ok={200: content(Comparison, *tables.OTHERS)}, errors=(406,)),
)
async def compare_runs(request: Request, query: Annotated[RunsQuery, Query()]) -> Response:
    """Last metrics and the numbers in results, the best ones, and differences to a baseline; JSON or a table."""
    services, caller = await caller_of(request)
    ids = list(dict.fromkeys(parse_id(run, "run id") for run in query.run))
    baseline = parse_id(query.baseline, "run id") if query.baseline else ids[0]
    if baseline not in ids:
        ids.insert(0, baseline)
    directions = dict(_direction(text) for text in query.better)
    rows = await _rows(services, caller, query, ids)
    names = query.measure or list(dict.fromkeys(name for row in rows for name in row.values))
    if len(names) > MAX_MEASURES:
        text = f"These runs have {len(names)} numbers; name some of them with 'measure'."
        raise Invalid("too_many_measures", text)
    compared = compare([directions.get(name, Measure(key=name, name=name)) for name in names], rows, baseline)
    wanted = tables.chosen(request, query.form)
    if wanted == "json":
        return tables.json(compared)
    return await tables.reply(table(compared, ABOUT), wanted, "comparison")


async def _rows(services: Services, caller: Caller, query: RunsQuery, ids: list[str]) -> list[Row]:
    """In the order of ``ids``. Raises ``NotFound``."""
    found = {str(row[0]): row for row in (await _ask(services, caller, query, ids)).rows}
    rows = []
    for id_ in ids:
        if id_ not in found:
            raise NotFound("run_not_found", f"There is no run {id_}.")
        _, name, title, workload, status, result, names, last = found[id_]
        values = {f"metric.{metric}": _finite(value) for metric, value in zip(names or (), last or (), strict=True)}
        numbers = dict(_numbers("result", msgspec.json.decode(result) if isinstance(result, str) else result))
        about = dict(zip(ABOUT, (id_, name, title, workload, status), strict=True))
        rows.append(Row(id=id_, about=about, values={**values, **numbers}))
    return rows


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and isfinite(value) else None


async def _ask(services: Services, caller: Caller, query: RunsQuery, ids: list[str]) -> SqlResult:
    question = Sql(
        sql=RUNS, params=[ids, ids], max_rows=len(ids), timeout_s=TIMEOUT_S, as_of=query.as_of,
        at_least=seen_in(services, caller, query.at_least),
    )  # fmt: skip
    body, _ = await services.ask.ask_bytes(caller.workspace, question, TIMEOUT_S + MARGIN_S)
    return _decode(body)


def _numbers(path: str, value: Any, depth: int = 0) -> Iterator[tuple[str, float]]:
    """Numbers in a result by their path; those in lists are rows, not measures."""
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        for name, member in value.items():
            yield from _numbers(f"{path}.{name}", member, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        yield path, value


def _direction(text: str) -> tuple[str, Measure]:
    """Raises ``Invalid`` (code ``invalid_direction``)."""
    name, _, direction = text.rpartition(":")
    threshold: float | None = None
    if direction.lower() not in DIRECTIONS:
        name, _, kind = name.rpartition(":")
        threshold, direction = _threshold(direction), kind
    known = DIRECTIONS.get(direction.lower(), "")
    if not name or not known or (threshold is None) == known.startswith("AT_"):
        raise _not_understood(text)
    return name, Measure(key=name, name=name, better_when=known, threshold=threshold)


def _threshold(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise _not_understood(text) from None
    if not isfinite(number):
        raise _not_understood(text)
    return number


def _not_understood(text: str) -> Invalid:
    return Invalid(
        "invalid_direction", f"{text!r} says no direction: name:higher, name:lower, name:at_least:5 or name:at_most:5."
    )
