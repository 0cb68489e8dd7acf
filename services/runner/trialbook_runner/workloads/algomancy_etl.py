"""The workload ``algomancy-etl``: what comes in becomes the tables of datasets, stored as artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import msgspec

from trialbook import Context
from trialbook import workload as as_workload
from trialbook.algomancy import Profile
from trialbook.workload import Failure
from trialbook_runner.workloads.algomancy_profile import served

if TYPE_CHECKING:
    from trialbook_algomancy.data import DataSource

DOCUMENT = "document"


class File(msgspec.Struct, forbid_unknown_fields=True):
    """An upload: the input that holds its bytes, and its name."""

    input: str
    name: str


class Params(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``files`` go through the profile's ETL; ``json`` reads the input ``document``; ``initial`` makes the profile's
    own datasets; ``export`` writes the input ``tables`` as a file, all of them or one ``table``.
    """

    source: Literal["files", "json", "initial", "export"] = "files"
    dataset_name: str = ""
    files: list[File] = []
    form: Literal["csv", "xlsx", "parquet"] = "csv"
    table: str | None = None


@as_workload(
    "algomancy-etl",
    params=Params,
    title="Algomancy data load",
    description="Reads files or a JSON document into the tables of a dataset.",
    isolation="process",
)
def workload(ctx: Context, params: Params) -> dict[str, Any]:
    """Returns ``datasets``, each with metadata, declared parameters and the artifact of its tables, and ``record``:
    messages, counts by severity, files and whether it succeeded (null for JSON). An export returns ``sha256``,
    ``size``, ``media_type`` and ``extension`` of its artifact.
    """
    if params.source == "export":
        return _export(ctx, params)
    profile = served()
    match params.source:
        case "json":
            return {"datasets": [_stored(ctx, profile, _document(ctx), 0)], "record": None}
        case "initial":
            return _initial(ctx, profile)
        case "files":
            files = {file.name: ctx.inputs[file.input] for file in params.files}
            source, record = _load(ctx, profile, files, params.dataset_name)
            made = [] if source is None else [_stored(ctx, profile, source, 0)]
            return {"datasets": made, "record": record}


def _export(ctx: Context, params: Params) -> dict[str, Any]:
    from trialbook_algomancy.data import tables_from_json
    from trialbook_algomancy.exports import exported

    tables = tables_from_json(ctx.inputs["tables"].read_bytes())
    if params.table is not None:
        if params.table not in tables:
            raise Failure("unknown_table", f"Table '{params.table}' not found", retryable=False)
        tables = {params.table: tables[params.table]}
    try:
        content, extension, media_type = exported(tables, params.form, single=params.table is not None)
    except ValueError as error:  # larger than the format allows
        raise Failure("unreadable_data", str(error), retryable=False) from None
    sha256 = ctx.artifact(f"export.{extension}", content, media_type=media_type)
    return {"sha256": sha256, "size": len(content), "media_type": media_type, "extension": extension}


def _document(ctx: Context) -> DataSource:
    from trialbook_algomancy.data import DataSource

    return DataSource.from_json(ctx.inputs[DOCUMENT].read_bytes())


def _initial(ctx: Context, profile: Profile) -> dict[str, Any]:
    made = []
    for number, (name, files) in enumerate(profile.datasets().items()):
        source, record = _load(ctx, profile, files, name)
        if source is None:
            text = f"The profile's own dataset {name!r} does not pass its checks: {record['messages'][:3]}"
            raise Failure("invalid_profile", text, retryable=False)
        made.append(_stored(ctx, profile, source, number))
    return {"datasets": made, "record": None}


def _load(
    ctx: Context, profile: Profile, files: Mapping[str, bytes | Path], name: str
) -> tuple[DataSource | None, dict[str, Any]]:
    from trialbook_algomancy.data import DataClassification, DataSource
    from trialbook_algomancy.data_document import creation_text
    from trialbook_algomancy.etl.load import load

    if profile.etl is None:
        raise Failure("no_etl", "This configuration takes no uploads; send data as JSON.", retryable=False)
    outcome = load(files, profile.etl, name)
    record: dict[str, Any] = msgspec.to_builtins(outcome.record)
    if not outcome.success:
        return None, record
    source = DataSource(
        id=str(UUID(ctx.new_id())), name=name, type=DataClassification.MASTER_DATA,
        creation_datetime=creation_text(ctx.now()), tables=outcome.tables,
    )  # fmt: skip
    return source, record


def _stored(ctx: Context, profile: Profile, source: DataSource, number: int) -> dict[str, Any]:
    from trialbook_algomancy.data import tables_json

    declared = profile.data_parameters(source)
    content = tables_json(source.tables)
    name = f"tables-{number}.json"
    sha256 = ctx.artifact(name, content, media_type="application/json")
    return {
        "metadata": msgspec.to_builtins(source.metadata),
        "declared": declared and {"name": declared.name, "parameters": declared.descriptors(ctx.now())},
        "sha256": sha256,
        "size": len(content),
        "rows": sum(len(table) for table in source.tables.values()),
    }
