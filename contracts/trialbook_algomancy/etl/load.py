"""A load: files in, tables and messages out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.checks import DEFAULT
from trialbook_algomancy.etl.convert import converted
from trialbook_algomancy.etl.from_csv import read_csv
from trialbook_algomancy.etl.from_json import read_json
from trialbook_algomancy.etl.from_xlsx import read_xlsx
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.etl.names import UploadName, upload_names
from trialbook_algomancy.etl.outcome import EtlOutcome, LoadedFile, LoadRecord, counted
from trialbook_algomancy.etl.source import Content, Extracted, ExtractionFailed, Limits
from trialbook_algomancy.schemas import EtlConfig, Schema

_READERS: Mapping[str, Callable[[Content, Schema, Limits], dict[str, Extracted]]] = {
    "csv": read_csv,
    "json": read_json,
    "xlsx": read_xlsx,
}
LIMITS = Limits()


def load(files: Mapping[str, Content], config: EtlConfig, name: str, limits: Limits = LIMITS) -> EtlOutcome:
    """Extract, check and transform the uploads (file name -> content) for the dataset ``name``.

    Raises ``Unreadable`` for names and contents that cannot be used at all, and for required files that are missing.
    Everything else is a message; if one is CRITICAL, nothing is transformed and the outcome has no tables.
    """
    uploads = dict(zip(upload_names(files), files.values(), strict=True))
    _check_files(uploads, config)
    messages = list(_without_schema(uploads, config))
    tables, rows = _extracted(uploads, config, limits, messages)
    declared = config.declared()
    for check in DEFAULT if config.checks is None else config.checks:
        messages += check(tables, declared)
    for transformer in config.transformers:
        if not _failed(messages):
            messages += transformer(tables, declared)
    success = not _failed(messages)
    loaded = tuple(_loaded(upload, content, rows.get(upload.logical_name, {})) for upload, content in uploads.items())
    record = LoadRecord(name, success, tuple(messages), counted(messages), loaded)
    return EtlOutcome(tables if success else {}, record)


def _failed(messages: list[Message]) -> bool:
    return any(message.severity is Severity.CRITICAL for message in messages)


def _check_files(uploads: Mapping[UploadName, Content], config: EtlConfig) -> None:
    extensions = {upload.logical_name: upload.extension for upload in uploads}
    for schema in config.schemas:
        found = extensions.get(schema.file_name)
        if found is None and schema.file_name in config.required:
            raise Unreadable(f"Missing upload for '{schema.file_name}'")
        if found not in {None, schema.extension}:
            raise Unreadable(f"Upload '{schema.file_name}' is '.{found}', its schema is for '.{schema.extension}'.")


def _without_schema(uploads: Mapping[UploadName, Content], config: EtlConfig) -> Iterator[Message]:
    known = {schema.file_name for schema in config.schemas}
    names = [upload.logical_name for upload in uploads]
    for name in names:
        if name not in known:
            yield Message(Severity.WARNING, f"No schema found for {name}.", name, code="NO_SCHEMA")
    if known.isdisjoint(names):
        text = "Extraction failed: none of the uploads has a schema."
        yield Message(Severity.CRITICAL, text, code="EXTRACTION_FAILED")


def _extracted(
    uploads: Mapping[UploadName, Content], config: EtlConfig, limits: Limits, messages: list[Message]
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, int]]]:
    """Converted tables in the order of the schemas, and the rows of each file's tables."""
    contents = {upload.logical_name: content for upload, content in uploads.items()}
    tables: dict[str, pd.DataFrame] = {}
    rows: dict[str, dict[str, int]] = {}
    for schema in config.schemas:
        name = schema.file_name
        if name not in contents:
            continue
        try:
            raw = _READERS[schema.extension](contents[name], schema, limits)
        except ExtractionFailed as failed:
            messages.append(Message(Severity.CRITICAL, f"Extraction failed: {failed}", name, code="EXTRACTION_FAILED"))
            continue
        except RecursionError:
            raise Unreadable(f"{name}.{schema.extension} is nested too deeply") from None
        columns = schema.tables()
        for table, extracted in raw.items():
            tables[table] = converted(table, extracted.columns, columns[table], extracted.length, messages)
        rows[name] = {table: extracted.length for table, extracted in raw.items()}
    return tables, rows


def _loaded(upload: UploadName, content: Content, rows: dict[str, int]) -> LoadedFile:
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    return LoadedFile(upload.name, upload.logical_name, upload.extension, size, rows)
