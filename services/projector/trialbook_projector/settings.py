"""Settings of the projector, from the environment; units are in the names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import msgspec

from trialbook.errors import Invalid
from trialbook_projector.tables.store import Limits
from trialbook_projector.tables.writer import Capacity

Traces = Literal["", "console", "otlp"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment may choose."""

    nats_url: str = "nats://127.0.0.1:4222"
    data_dir: Path = Path("data")
    log_level: str = "info"
    duckdb: Limits = Limits()
    capacity: Capacity = Capacity()
    reader_threads: int = 3
    reader_queue: int = 1000
    sql_threads: int = 1
    sql_queue: int = 32
    wait_s: float = 4.0
    """How long a question waits for the position it asks for; less than the 5 s that askers wait."""
    sql_max_rows: int = 100_000
    sql_max_s: float = 60.0
    keep_tables: int = 1
    """How many files of tables are kept after a rebuild, to roll back to; each is as large as the current one."""
    metrics_port: int = 0
    """Where Prometheus finds the series of the questions, on the loopback; 0: nowhere."""
    traces: Traces = ""
    """Where a span per question goes; ``otlp`` is configured by ``OTEL_EXPORTER_OTLP_*``."""
    environment: dict[str, str] = {}
    """The environment these settings were read from, for the process that builds tables anew."""

    segments_url: str = ""
    """Where sealed facts are: a folder or ``s3://bucket/folder``; empty: ``segments`` in the data directory."""
    seal_after_days: int = 0
    """Facts older than this are sealed and purged by themselves; 0: never."""

    @property
    def segments(self) -> str:
        """Where sealed facts are."""
        return self.segments_url or str(self.data_dir / "segments")

    @property
    def folder(self) -> Path:
        """Where the database files are."""
        return self.data_dir / "projector"


def _number(environment: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise Invalid("invalid_setting", f"{name} must be a whole number of at least {least}, not {text!r}.")
    return int(text)


def _traces(environment: Mapping[str, str]) -> Traces:
    choice = environment.get("TRIALBOOK_PROJECTOR_TRACES", "")
    for known in get_args(Traces):
        if choice == known:
            return known  # type: ignore[no-any-return] # get_args is untyped
    raise Invalid("invalid_setting", f"TRIALBOOK_PROJECTOR_TRACES must be console or otlp, not {choice!r}.")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read ``TRIALBOOK_*``. Raises ``Invalid`` (code ``invalid_setting``)."""
    base = Settings()
    limits = Limits(
        memory_mb=_number(environment, "TRIALBOOK_PROJECTOR_MEMORY_MB", base.duckdb.memory_mb, least=64),
        threads=_number(environment, "TRIALBOOK_PROJECTOR_THREADS", base.duckdb.threads),
    )
    return Settings(
        nats_url=environment.get("TRIALBOOK_NATS_URL") or base.nats_url,
        data_dir=Path(environment.get("TRIALBOOK_DATA_DIR") or base.data_dir),
        log_level=environment.get("TRIALBOOK_LOG_LEVEL") or base.log_level,
        duckdb=limits,
        environment=dict(environment),
        segments_url=environment.get("TRIALBOOK_SEGMENTS_URL", ""),
        seal_after_days=_number(environment, "TRIALBOOK_SEAL_AFTER_DAYS", base.seal_after_days, least=0),
        reader_threads=_number(environment, "TRIALBOOK_PROJECTOR_READERS", base.reader_threads),
        keep_tables=_number(environment, "TRIALBOOK_KEEP_TABLES", base.keep_tables, least=0),
        metrics_port=_number(environment, "TRIALBOOK_PROJECTOR_METRICS_PORT", base.metrics_port, least=0),
        traces=_traces(environment),
    )
