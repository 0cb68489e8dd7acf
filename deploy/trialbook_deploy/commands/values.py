"""Values on the command line: `key=value` pairs, JSON files, durations and progress as text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from trialbook.domain.run.spec import Retry
from trialbook.times import parse_time
from trialbook_deploy.commands.kit import usage_error

STDIN = "-"


def pairs(given: list[str], option: str) -> dict[str, str]:
    """`k=v` arguments as a dictionary; anything else ends the command as wrong usage."""
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            usage_error(f"{option} {text!r} is not of the form key=value.")
        found[key] = value
    return found


def params(files: list[Path], given: list[str]) -> dict[str, Any]:
    """Parameters: objects of JSON files in order, then `-p key=value`, each later one winning.

    A value that is JSON is taken as such (`3`, `true`, `[1,2]`, `"3"`), any other as text. A dotted key sets a member
    of an object: `-p search.limit=3`.
    """
    merged: dict[str, Any] = {}
    for path in files:
        merged.update(_object(path))
    for key, text in pairs(given, "--param").items():
        _set(merged, key, json_or_text(text))
    return merged


def _object(path: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
        value = msgspec.json.decode(text)
    except OSError as error:
        usage_error(f"--params-file {path}: {error.strerror}.")
    except msgspec.DecodeError as error:
        usage_error(f"--params-file {path} is not JSON: {error}.")
    if not isinstance(value, dict):
        usage_error(f"--params-file {path} holds {type(value).__name__}, not a JSON object.")
    return value


def json_or_text(text: str) -> Any:
    """A value that is JSON as such, any other as the text it is."""
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text


def _set(target: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            usage_error(f"--param {key}: {part!r} is not an object.")
    target[last] = value


def sweep(given: list[str]) -> dict[str, Any] | None:
    """`key=<JSON list>` arguments as a grid of values; None without any."""
    grid: dict[str, Any] = {}
    for key, text in pairs(given, "--sweep").items():
        value = json_or_text(text)
        if not isinstance(value, list) or not value:
            usage_error(f"--sweep {key}={text}: the value must be a JSON list such as [1,2,3].")
        grid[key] = value
    return {"grid": grid} if grid else None


def retry(attempts: int) -> Retry | None:
    """The rule for repeating failed attempts; None for the default of one attempt."""
    return Retry(max_attempts=attempts) if attempts > 1 else None


def files(given: list[str]) -> dict[str, Path]:
    """`name=path` arguments; a path that is no file ends the command as wrong usage."""
    found = {name: Path(text) for name, text in pairs(given, "--input").items()}
    for path in found.values():
        if not path.is_file():
            usage_error(f"--input {path} is no file.")
    return found


def duration_text(start: str | None, end: str | None) -> str | None:
    """Time between two RFC 3339 times, for people; None unless both are there."""
    if not start or not end:
        return None
    seconds = (parse_time(end) - parse_time(start)).total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def progress_text(progress: dict[str, Any] | None) -> str | None:
    """`12/40 customers`; None before the first progress."""
    if not progress:
        return None
    done, total, unit = progress.get("done", 0), progress.get("total") or 0, progress.get("unit") or ""
    return f"{done:g}{f'/{total:g}' if total else ''} {unit}".rstrip()
