"""A run as it goes on: log lines above, a progress bar below; plain lines when the output is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.text import Text

from trialbook.client import Following, ProgressView, StatusView
from trialbook.queries import LogView
from trialbook_deploy.commands.show import STATUS_STYLES, console, harmless, write_json_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from trialbook.client.following import Update

LEVEL_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "bold red"}


def log_text(line: LogView) -> Text:
    """`10:31:02.123 info    customer_0001  Paid for order 3`."""
    who = f"{harmless(line.logger)}  " if line.logger else ""
    message = line.message if line.message is not None else bytes(line.data or b"").decode(errors="replace")
    return Text.assemble(
        (line.time[11:23], "dim"), " ", (f"{line.level:<7}", LEVEL_STYLES.get(line.level, "")), " ", (who, "cyan"),
        harmless(message),
    )  # fmt: skip


def write_log(line: LogView, as_json: bool) -> None:
    """One line of output, at once."""
    if as_json:
        write_json_line(line)
    else:
        console().print(log_text(line))


class RunWatch:
    """Shows updates as they come. Use it as a context manager, so that the terminal is left in order."""

    def __init__(self, title: str, *, as_json: bool = False, quiet: bool = False) -> None:
        """``quiet`` leaves out the log lines."""
        self._json, self._quiet, self._title = as_json, quiet, title
        self._console = console()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if sys.stdout.isatty() and not as_json:
            self._bar, self._task = _bar(self._console, title)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, update: Update) -> None:
        """One update."""
        if self._quiet and isinstance(update, LogView):
            return
        if self._json:
            write_json_line({"kind": Following.kind_of(update), "item": update})
        elif isinstance(update, LogView):
            self._console.print(log_text(update))
            if self._bar is None:
                sys.stdout.flush()
        elif isinstance(update, ProgressView):
            self._progress(update)
        elif isinstance(update, StatusView) and self._bar is not None and self._task is not None:
            style = STATUS_STYLES.get(update.status, "")
            self._bar.update(
                self._task, description=f"{self._title} [{style}]{update.status}[/]" if style else update.status
            )

    def _progress(self, update: ProgressView) -> None:
        if self._bar is None or self._task is None:
            return
        detail = harmless(" ".join(part for part in (update.unit, update.message) if part))
        self._bar.update(self._task, completed=update.done, total=update.total or None, detail=detail)


def _bar(out: Any, title: str) -> tuple[Progress, TaskID]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False), TimeElapsedColumn(),
    )  # fmt: skip
    bar = Progress(*columns, console=out, transient=True)
    return bar, bar.add_task(title, total=None, detail="")
