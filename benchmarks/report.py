"""The table for people, the object for programs, and the notes in between."""

from __future__ import annotations

import sys

import msgspec

from benchmarks.model import Row

HEAD = ("", "what", "value", "unit", "target", "met", "bare", "ratio")
LEFT = {0, 1, 3, 5}


def note(text: str) -> None:
    """A line about what is going on, beside the result."""
    print(text, file=sys.stderr, flush=True)


def figure(number: float | None) -> str:
    """Three significant digits, with separators for thousands."""
    if number is None:
        return "-"
    size = abs(number)
    if size >= 100:
        return f"{number:,.0f}"
    if size >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if size >= 1 or number == 0 else f"{number:.3g}"


def table(rows: list[Row]) -> str:
    """Aligned text; further figures stand under their row."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [_line(HEAD, widths)]
    for row, line in zip(rows, cells[1:], strict=True):
        lines.append(_line(line, widths))
        if row.error is not None:
            lines.append(f"     error: {row.error}")
        elif row.more:
            lines.append("     " + "  ".join(f"{name} {figure(value)}" for name, value in row.more.items()))
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    met = "error" if row.error is not None else "-" if row.met is None else "yes" if row.met else "no"
    return (
        row.key,
        row.title,
        figure(row.value),
        row.unit,
        figure(row.target),
        met,
        figure(row.bare),
        figure(row.ratio),
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [c.ljust(w) if i in LEFT else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(padded).rstrip()


def as_json(rows: list[Row]) -> str:
    """One object: key -> ``{value, unit, target, met, bare, ratio, more}``, and ``error`` where there was one."""
    answer = {}
    for row in rows:
        fields = msgspec.to_builtins(row)
        key = fields.pop("key")
        if row.error is None:
            del fields["error"]
        answer[key] = fields
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()
