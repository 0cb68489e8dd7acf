"""Small tables as csv, xlsx and Parquet. In xlsx a text that looks like a formula is a text."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trialbook_gateway import replies
from trialbook_gateway.problems import HttpRefusal

Format = Literal["json", "csv", "xlsx", "parquet"]
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MEDIA_TYPES: dict[Format, str] = {"json": replies.JSON, "csv": CSV, "xlsx": XLSX, "parquet": PARQUET}
OTHERS = (CSV, XLSX, PARQUET)


class Column(NamedTuple):
    """Its header and what its cells are; None is an empty cell in each kind."""

    name: str
    kind: Literal["text", "number", "boolean"]


class Table(NamedTuple):
    """Rows of as many cells as there are columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]


def chosen(request: Request, asked: Format | None) -> Format:
    """As the query says, else as ``Accept`` says; JSON when neither says anything."""
    if asked is not None:
        return asked
    media_type = replies.accepts(request, *MEDIA_TYPES.values())
    return next(name for name, known in MEDIA_TYPES.items() if known == media_type)


async def reply(table: Table, form: Format, name: str) -> Response:
    """The table as a file ``<name>.<form>``; ``form`` is not json. Raises 406 without the library that writes xlsx."""
    content = await asyncio.to_thread(_WRITERS[form], table)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "Vary": "Accept"}
    return Response(content, 200, headers, MEDIA_TYPES[form])


def _csv(table: Table) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([[_text(value) for value in row] for row in table.rows])
    return out.getvalue().encode("utf-8", "replace")


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
    return repr(value)


def _xlsx(table: Table) -> bytes:
    try:
        from trialbook_algomancy.workbooks import sheet_of_values

        names = [column.name for column in table.columns]
        return sheet_of_values("comparison", names, table.rows)
    except ImportError:
        raise HttpRefusal(406, "no_xlsx", "This deployment cannot write xlsx; ask for csv or parquet.") from None


def _parquet(table: Table) -> bytes:
    import pyarrow as pa  # late: few ask for it, and it is large
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "number": pa.float64(), "boolean": pa.bool_()}
    arrays = []
    for at, column in enumerate(table.columns):
        cells = [row[at] for row in table.rows]
        if column.kind == "number":
            cells = [None if value is None else float(value) for value in cells]
        elif column.kind == "text":
            cells = [None if value is None else _text(value) for value in cells]
        arrays.append(pa.array(cells, types[column.kind]))
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_arrays(arrays, names=[column.name for column in table.columns]), out, compression="zstd"
    )
    return out.getvalue()


_WRITERS = {"csv": _csv, "xlsx": _xlsx, "parquet": _parquet}


def json(value: Any) -> Response:
    """A struct or plain value as JSON that depends on ``Accept``."""
    return Response(msgspec.json.encode(value), 200, {"Vary": "Accept"}, replies.JSON)
