"""Results of SQL as JSON values, Arrow, CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa

from trialbook.times import rfc3339

LARGEST = 1 << 63
Types = list[tuple[str, str]]


def rows(types: Types, table: Any) -> list[list[Any]]:
    """Rows of JSON-able values: times as RFC 3339 UTC, binary as base64, whole numbers beyond 64 bits as text."""
    columns = []
    for (_, type_), column in zip(types, table.columns, strict=True):
        convert = _json if type_ == "JSON" else _plain
        columns.append([convert(value) for value in _values(column)])
    return [list(row) for row in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    return values


def _json(value: str | None) -> Any:
    return None if value is None else msgspec.Raw(value.encode())


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | str() | bytes() | float():
            return value
        case int():
            return value if -LARGEST <= value < LARGEST else str(value)
        case Decimal():
            if value == value.to_integral_value() and value.as_tuple().exponent == 0:
                return _plain(int(value))
            return float(value)
        case datetime():
            return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
    return str(value)


def _arrow(_: Types, table: Any, truncated: bool, to: BinaryIO) -> str:
    schema = table.schema.with_metadata({"truncated": str(truncated).lower()})
    with pa.ipc.new_stream(to, schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata))
    return "application/vnd.apache.arrow.stream"


def _parquet(_: Types, table: Any, truncated: bool, to: BinaryIO) -> str:
    import pyarrow.parquet as pq  # late: 10 MB that few projectors need

    pq.write_table(table.replace_schema_metadata({"truncated": str(truncated).lower()}), to, compression="zstd")
    return "application/vnd.apache.parquet"


def _csv(types: Types, table: Any, _: bool, to: BinaryIO) -> str:
    text = io.TextIOWrapper(to, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([name for name, _ in types])
    for row in rows(types, table):
        writer.writerow([_cell(value) for value in row])
    text.detach()
    return "text/csv; charset=utf-8"


def _cell(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, dict | list | bool | bytes):
        return msgspec.json.encode(value).decode().strip('"')
    return value


WRITERS: dict[str, Callable[[Types, Any, bool, BinaryIO], str]] = {"arrow": _arrow, "parquet": _parquet, "csv": _csv}
"""Format -> function that writes a table and returns the media type."""
