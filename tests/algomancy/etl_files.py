"""Small files of every kind, and loads of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from openpyxl import Workbook

from trialbook_algomancy.etl.checks import DEFAULT
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.etl.messages import Message
from trialbook_algomancy.etl.outcome import EtlOutcome
from trialbook_algomancy.schemas import Check, Column, EtlConfig, Extension, Group, Schema, Transformer

Rows = Sequence[Sequence[Any]]


def csv_file(rows: Rows, separator: str = ";") -> bytes:
    lines = (separator.join("" if cell is None else str(cell) for cell in row) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def json_file(value: object) -> bytes:
    return msgspec.json.encode(value)


def xlsx_file(sheets: Mapping[str, Rows]) -> bytes:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def columns(*names: str, **typed: Any) -> tuple[Column, ...]:
    return (*(Column(name) for name in names), *(Column(name, dtype) for name, dtype in typed.items()))


def load_one(
    content: bytes,
    declared: Iterable[Column] = (),
    extension: Extension = "csv",
    groups: tuple[Group, ...] = (),
    checks: tuple[Check, ...] | None = (),
    **options: Any,
) -> EtlOutcome:
    schema = Schema("t", extension, tuple(declared), groups=groups, **options)
    return load({f"t.{extension}": content}, EtlConfig((schema,), checks=checks), "n")


def load_csvs(
    files: Mapping[str, Rows],
    declared: Mapping[str, Iterable[Column]],
    checks: tuple[Check, ...] = DEFAULT,
    transformers: tuple[Transformer, ...] = (),
) -> EtlOutcome:
    schemas = tuple(Schema(name, "csv", tuple(of)) for name, of in declared.items())
    uploads = {f"{name}.csv": csv_file(rows) for name, rows in files.items()}
    return load(uploads, EtlConfig(schemas, checks=checks, transformers=transformers), "n")


def found(outcome: EtlOutcome, *codes: str) -> list[Message]:
    return [message for message in outcome.messages if message.code in codes]
