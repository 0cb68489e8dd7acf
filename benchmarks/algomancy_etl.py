"""G3: rows per second of an algomancy load: 100,000 rows of ten columns from csv, extracted, converted and checked.

Text with leading zeros, categories, integers, floats, dates and booleans, one primary key, the default checks. Rates
are per second of CPU time. Further figures, all in rows per second: ``inferred_bare``, pandas' reader left to guess
types; ``json`` and ``xlsx`` (a tenth of the rows) with ``json_bare`` and ``xlsx_bare``; ``write`` and ``read``: the
tables to JSON as clients get it, and back; ``keys``: two files, a joint foreign key checked, orphans dropped.

The bare part: pandas' own reader of csv on the same bytes, told all types, which checks nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import process_time
from typing import Any

import pandas as pd

from benchmarks.model import Measure, Options, Sample, Target
from trialbook_algomancy.data import tables_from_json, tables_json
from trialbook_algomancy.etl.checks import ForeignKeys
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.etl.transform import CascadeDrop
from trialbook_algomancy.schemas import Column, EtlConfig, Extension, Schema
from trialbook_algomancy.workbooks import workbook

TARGET = Target(key="G3", title="algomancy ETL of csv", unit="rows/s", target=None, better="more")
COLUMNS = (
    Column("item", primary_key=True), Column("sku"), Column("description"), Column("category", "categorical"),
    Column("picks", "int64"), Column("volume", "float64"), Column("weight", "float64"), Column("slot"),
    Column("since", "datetime64[ns]"), Column("active", "boolean"),
)  # fmt: skip
NAMES = [column.name for column in COLUMNS]
PANDAS = {"string": "string", "int64": "int64", "float64": "float64", "boolean": "boolean", "categorical": "category"}
READERS: dict[Extension, Callable[[io.BytesIO], Any]] = {
    "csv": lambda file: pd.read_csv(file, sep=";"),
    "json": pd.read_json,
    "xlsx": pd.read_excel,
}


def _row(number: int) -> list[Any]:
    """One article; everything follows from its number."""
    return [
        f"{number:06d}", f"SKU-{number * 7919 % 100_003}", f"Product number {number}", f"category {number % 12}",
        number * 31 % 200, number * 0.137, number % 977 / 7, f"SLOT-{number % 4096:04d}",
        f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}", bool(number % 3),
    ]  # fmt: skip


def files(rows: int) -> dict[Extension, bytes]:
    """The same articles in each format, in xlsx only the first tenth."""
    body = [_row(number) for number in range(rows)]
    lines = "".join(";".join(map(str, row)) + "\n" for row in [NAMES, *body])
    records = json.dumps([dict(zip(NAMES, row, strict=True)) for row in body])
    return {"csv": lines.encode(), "json": records.encode(), "xlsx": workbook({"s": [NAMES, *body[: rows // 10]]})}


def _lines() -> EtlConfig:
    """Lines with a joint key to orders, of which there are a tenth; every hundredth has none."""
    lines = (Column("n", "int64"), Column("order", foreign_key=("orders", "id")),
             Column("year", "int64", foreign_key=("orders", "year")))  # fmt: skip
    orders = (Column("id"), Column("year", "int64"))
    schemas = (Schema("orders", "csv", orders), Schema("lines", "csv", lines))
    return EtlConfig(schemas, checks=(ForeignKeys(),), transformers=(CascadeDrop(),))


def _related(rows: int) -> dict[str, bytes]:
    orders = "".join(f"o{number};{2000 + number % 20}\n" for number in range(rows // 10))
    lines = "".join(
        f"{number};o{number % (rows // 10) if number % 100 else -1};{2000 + number % (rows // 10) % 20}\n"
        for number in range(rows)
    )
    return {"orders.csv": f"id;year\n{orders}".encode(), "lines.csv": f"n;order;year\n{lines}".encode()}


def rate(rows: int, work: Callable[[], object]) -> float:
    """Rows per second of CPU time, the better of two."""
    taken = []
    for _ in range(2):
        start = process_time()
        work()
        taken.append(process_time() - start)
    return rows / min(taken)


def _bare(format_: Extension, content: bytes) -> Callable[[], object]:
    return lambda: READERS[format_](io.BytesIO(content))


def _typed(content: bytes) -> Callable[[], object]:
    types = {column.name: PANDAS[column.dtype] for column in COLUMNS if column.dtype in PANDAS}
    return lambda: pd.read_csv(io.BytesIO(content), sep=";", dtype=types, parse_dates=["since"])


def _load(format_: Extension, content: bytes) -> Callable[[], object]:
    config = EtlConfig((Schema("items", format_, COLUMNS),))
    return lambda: load({f"items.{format_}": content}, config, "bench")


@asynccontextmanager
async def prepare(options: Options) -> AsyncIterator[Measure]:
    """The files; all in this process, without a stack."""
    rows = options.size(100_000, 20_000)
    made, related = files(rows), _related(rows)
    config = EtlConfig((Schema("items", "csv", COLUMNS),))
    outcome = load({"items.csv": made["csv"]}, config, "bench")
    if outcome.record.counts != {"INFO": 1, "WARNING": 0, "ERROR": 0, "CRITICAL": 0}:
        raise RuntimeError(f"the load complains: {outcome.messages[:3]}")
    written = tables_json(outcome.tables)

    async def measure() -> Sample:
        more = {
            "inferred_bare": rate(rows, _bare("csv", made["csv"])),
            "write": rate(rows, lambda: tables_json(outcome.tables)),
            "read": rate(rows, lambda: tables_from_json(written)),
        }
        others: list[tuple[Extension, int]] = [("json", rows), ("xlsx", rows // 10)]
        for name, count in others:
            more[f"{name}_bare"] = rate(count, _bare(name, made[name]))
            more[name] = rate(count, _load(name, made[name]))
        more["keys"] = rate(rows, lambda: load(related, _lines(), "bench"))
        bare = rate(rows, _typed(made["csv"]))
        return Sample(value=rate(rows, _load("csv", made["csv"])), bare=bare, more=more)

    yield measure
