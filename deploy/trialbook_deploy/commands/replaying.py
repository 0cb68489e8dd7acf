"""Where replayed facts go, and when: lines or NATS messages, at the pace they once had or as quickly as can be."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from trialbook import subjects
from trialbook.errors import Invalid, Unavailable
from trialbook.log.connect import connect, settled

if TYPE_CHECKING:
    from nats.aio.client import Client

    from trialbook.client.ledger import Lines

NATS = "nats:"
SEQUENCE = "Trialbook-Sequence"
MEDIA_TYPE = "application/cloudevents+json"
FLUSH_EVERY = 500
FLUSH_S = 10.0


class _Envelope(msgspec.Struct):
    type: str
    subject: str
    time: str


class _Timed(msgspec.Struct):
    event: _Envelope


class _Whole(msgspec.Struct):
    sequence: int
    event: msgspec.Raw


_timed = msgspec.json.Decoder(_Timed).decode
_whole = msgspec.json.Decoder(_Whole).decode
_envelope = msgspec.json.Decoder(_Envelope).decode


class Target(Protocol):
    """Takes facts as lines of JSON without line feeds; what ``put`` has returned from may still be on its way."""

    async def put(self, lines: Sequence[bytes]) -> None:
        """Hand on facts in order."""
        ...

    async def flush(self) -> None:
        """Have everything arrive."""
        ...


class ToFile:
    """Lines of a file or of standard output."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def put(self, lines: Sequence[bytes]) -> None:
        """See ``Target``."""
        self._file.write(b"\n".join([*lines, b""]))

    async def flush(self) -> None:
        """See ``Target``."""
        self._file.flush()


class ToNats:
    """CloudEvents below a subject."""

    def __init__(self, nc: Client, prefix: str) -> None:
        self._nc, self._prefix = nc, prefix

    async def put(self, lines: Sequence[bytes]) -> None:
        """See ``Target``. Raises ``Unavailable`` when the server does not let this user publish there."""
        for number, line in enumerate(lines, 1):
            fact = _whole(line)
            envelope = _envelope(fact.event)
            subject = subjects.replayed(self._prefix, envelope.subject, envelope.type)
            headers = {SEQUENCE: str(fact.sequence), "Content-Type": MEDIA_TYPE}
            await self._nc.publish(subject, bytes(fact.event), headers=headers)
            if number % FLUSH_EVERY == 0:
                await self.flush()

    async def flush(self) -> None:
        """See ``Target``; afterwards the server has them."""
        await settled(self._nc, int(FLUSH_S))
        if self._nc.last_error is not None and "permissions violation" in str(self._nc.last_error).lower():
            raise Unavailable("nats_refused", f"NATS does not let this user publish there: {self._nc.last_error}.")


@asynccontextmanager
async def opened(to: str, nats_url: str, seed_file: str) -> AsyncIterator[Target]:
    """The target that ``--to`` names. Raises ``Invalid`` for a subject of the services' own, or a file in use."""
    if to.startswith(NATS):
        prefix = subjects.replay_prefix(to.removeprefix(NATS))
        nc = await _connected(nats_url, seed_file)
        try:
            yield ToNats(nc, prefix)
        finally:
            await nc.close()
    elif to == "-":
        yield ToFile(sys.stdout.buffer)
    else:
        with _created(Path(to)) as file:
            yield ToFile(file)


def _created(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileExistsError:
        raise Invalid("file_exists", f"{path} exists; choose another name, or append with >> and `--to -`.") from None
    except OSError as error:
        raise Invalid("file_not_writable", f"{path}: {error.strerror}.") from None


async def _connected(url: str, seed_file: str) -> Client:
    if not seed_file:
        return await connect(url, name="trialbook-replay", wait_s=3.0)
    from trialbook import credentials

    return await credentials.connect(url, Path(seed_file), name="trialbook-replay")


class Progressing:
    """How far a replay is."""

    def __init__(self, position: int) -> None:
        self.position, self.end, self.events = position, 0, 0
        self.seconds = 0.0

    def summary(self) -> str:
        """What was done."""
        rate = f", {self.events / self.seconds:,.0f}/s" if self.seconds > 0 else ""
        return f"{self.events:,} facts up to sequence {self.end or self.position:,} in {self.seconds:.1f} s{rate}"

    def interrupted(self) -> str:
        """What is left to do."""
        return f"stopped after sequence {self.position}; go on with --from-sequence {self.position + 1}"


async def delivered(lines: AsyncIterator[Lines], target: Target, factor: float | None, state: Progressing) -> None:
    """Hand everything on, ``factor`` times as fast as it once happened (None: at once), and show how far it is."""
    loop = asyncio.get_running_loop()
    started, pacer = loop.time(), Pacer(factor) if factor else None
    with _bar(state) as bar:
        async for page in lines:
            state.end = page.end
            bar.update(total=page.end)
            if pacer is None:
                await target.put(page.items)
            else:
                await _paced(page, target, pacer, state, bar)
            state.position, state.seconds = page.position, loop.time() - started
            state.events += len(page.items) if pacer is None else 0
            bar.update(completed=state.position)
        await target.flush()
    state.seconds = loop.time() - started


async def _paced(page: Lines, target: Target, pacer: Pacer, state: Progressing, bar: Bar) -> None:
    for line in page.items:
        wait_s = pacer.wait_s(_timed(line).event.time)
        if wait_s > 0:
            await target.flush()
            await asyncio.sleep(wait_s)
        await target.put([line])
        state.position, state.events = int(line[12 : line.index(b",")]), state.events + 1
        bar.update(completed=state.position)


class Pacer:
    """When each fact is due: distances are those of the facts' own times, divided by the factor, never negative."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._first: tuple[datetime, float] | None = None

    def wait_s(self, time: str) -> float:
        """Seconds from now until a fact with this time is due; 0 or less when it is late."""
        moment, now = datetime.fromisoformat(time), asyncio.get_running_loop().time()
        if self._first is None:
            self._first = moment, now
        began, at = self._first
        return at + (moment - began).total_seconds() / self._factor - now


class Bar:
    """A progress bar with an estimate on the terminal, or nothing where there is none."""

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress, self._task = progress, task

    def __enter__(self) -> Bar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, **changes: int) -> None:
        """``completed`` and ``total``, in sequences."""
        if self._progress is not None:
            self._progress.update(self._task, **changes)


def _bar(state: Progressing) -> Bar:
    if not sys.stderr.isatty():
        return Bar(None, None)
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from trialbook_deploy.commands.show import console

    columns = (
        TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    progress = Progress(*columns, console=console(err=True), transient=True)
    return Bar(progress, progress.add_task("replay", total=None, completed=state.position))
