"""Results on the terminal: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

STATUS_STYLES = {
    "completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "queued": "blue",
    "paused": "magenta",
}  # fmt: skip
PIPE_WIDTH = 160
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def console(*, err: bool = False) -> Console:
    """A console; into a pipe it writes plain text, wide enough not to cut tables."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(
        file=stream, highlight=False, soft_wrap=not stream.isatty(), width=None if stream.isatty() else PIPE_WIDTH
    )


def write_json(value: Any) -> None:
    """One indented JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def write_json_line(value: Any) -> None:
    """One JSON document on one line, at once: for streams."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: frozenset[str] = frozenset()) -> None:
    """A table; ``right`` names the columns of numbers. Cells are plain text, never markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # An id that is cut or folded cannot be copied: the other columns give way.
        table.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in ("id", "run")
        )
    for row in rows:
        table.add_row(
            *(Text(cell_text(cell), style=STATUS_STYLES.get(cell, "") if isinstance(cell, str) else "") for cell in row)
        )
    console().print(table)


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated values (RFC 4180) with a header; null is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if cell is None else plain(cell) for cell in row] for row in rows])


def plain(value: Any) -> Any:
    """A scalar as it is, anything nested as JSON text."""
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def harmless(text: str) -> str:
    """Text of strangers for a terminal: control characters, which could command it, are shown as what they are."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def cell_text(value: Any) -> str:
    """A table cell: null is a dash, a float has at most six significant digits; see ``harmless``."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return harmless(str(plain(value)))
