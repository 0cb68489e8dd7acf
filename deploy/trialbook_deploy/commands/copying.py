"""What export and import share: a storage by its name, and a bar on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from trialbook.ledger.export import Tell
    from trialbook.ledger.storage import SegmentStorage
    from trialbook_deploy.target import Target


def storage(location: str) -> SegmentStorage:
    """A folder or `s3://bucket/folder`. Raises `Invalid` and `Unavailable` for what cannot be used."""
    from trialbook_projector.segments_store import open_storage

    return open_storage(location, os.environ)


def sealed(target: Target) -> SegmentStorage:
    """Where a stack keeps its sealed facts."""
    return storage(os.environ.get("TRIALBOOK_SEGMENTS_URL") or str(segments_folder(target.data_dir)))


def segments_folder(data_dir: Path) -> Path:
    """Where they are when nothing else was said."""
    return data_dir / "segments"


@contextmanager
def bar() -> Iterator[Tell]:
    """A bar per thing that is copied, on standard error; nothing into a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from trialbook_deploy.commands.show import console

    if not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(err=True), transient=True) as progress:
        tasks = {}

        def tell(what: str, done: int, whole: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=whole)

        yield tell
