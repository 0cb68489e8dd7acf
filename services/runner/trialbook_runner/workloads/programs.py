"""Executing a program inside a run: its output as live log lines, its line protocol, its exit code, its files."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from trialbook.errors import Refusal
from trialbook.workload import Failure
from trialbook_runner.execute.environment import for_programs
from trialbook_runner.workloads.lines import MAX_LINE_BYTES, Line, Result, parse_line

T = TypeVar("T")
READ_BYTES = 64 * 1024
LINGER_S = 1.0
"""How long output is read on after the program's end, when one of its descendants keeps the pipe open."""
TERM_S = 0.2
TAIL_LINES, TAIL_CHARACTERS = 20, 2000
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128 * 1024)]


class Program(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to execute.

    ``cwd`` and the glob patterns of ``artifacts`` are relative to the run's working directory. ``timeout_s`` limits
    this program; the run has a limit of its own. ``allowed_exit_codes`` are successes.
    """

    argv: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=4096)]
    env: dict[str, str] = {}
    cwd: str = "."
    stdin: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    artifacts: list[str] = []
    allowed_exit_codes: list[int] = msgspec.field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        for path in (self.cwd, *self.artifacts):
            if Path(path).is_absolute() or ".." in Path(path).parts or not path:
                raise ValueError(f"{path!r} is not a path inside the working directory")
        for text in (*self.argv, *self.env, *self.env.values(), self.cwd):
            if "\0" in text:
                raise ValueError("arguments and environment cannot contain NUL characters")
        for name in self.env:
            if not name or "=" in name:
                raise ValueError(f"{name!r} cannot be the name of an environment variable")


class Output:
    """Lines of one stream: protocol lines become signals, all others log lines; remembers the last ones."""

    def __init__(self, context: Any, name: str) -> None:
        self._context, self._name = context, name
        self._rest = b""
        self.tail: list[str] = []
        self.result: Any = None

    def feed(self, data: bytes) -> None:
        """More bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        while len(self._rest) >= MAX_LINE_BYTES:
            self._line(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]

    def finish(self) -> None:
        """The stream has ended; a last line may lack its end."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""

    def _line(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), MAX_LINE_BYTES):  # a longer line becomes several
            self._piece(line[start : start + MAX_LINE_BYTES].removesuffix(b"\r"))

    def _piece(self, line: bytes) -> None:
        said = parse_line(line)
        if isinstance(said, Result):
            self.result = said.value
        elif said is not None:
            self._say(said)
        else:
            text = line.decode("utf-8", "replace")
            self._context.log(text, logger=self._name)
            self.tail = [*self.tail[1 - TAIL_LINES :], text]

    def _say(self, said: Line) -> None:
        try:
            said.emit(self._context, self._name)
        except Refusal as refusal:
            self._context.log(f"{refusal.detail}", level="warning", logger=self._name)


async def execute(context: Any, program: Program) -> dict[str, Any]:
    """Run a program to its end. Returns ``{exit_code, value, artifacts}``; raises ``Failure``."""
    directory = context.workdir / program.cwd
    directory.mkdir(parents=True, exist_ok=True)
    try:
        process = await asyncio.create_subprocess_exec(
            *program.argv, cwd=directory, env=_environment(context, program), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise Failure(
            "command_not_started", f"{program.argv[0]!r} cannot be started: {error.strerror}.", retryable=False
        ) from error
    outputs = Output(context, "stdout"), Output(context, "stderr")
    try:
        async with asyncio.timeout(program.timeout_s):
            code = await _communicate(process, program, outputs)
    except TimeoutError:
        raise Failure("timeout", f"{program.argv[0]!r} exceeded its time limit of {program.timeout_s:g} s.") from None
    finally:
        await _end(process)
        for output in outputs:
            output.finish()
    stored = await _artifacts(context, program)
    if code not in program.allowed_exit_codes:
        raise _failure(program, code, outputs)
    return {"exit_code": code, "value": outputs[0].result, "artifacts": stored}


async def _communicate(process: asyncio.subprocess.Process, program: Program, outputs: tuple[Output, Output]) -> int:
    streams = (process.stdout, process.stderr)
    readers = [
        asyncio.create_task(_read(_pipe(stream), output)) for stream, output in zip(streams, outputs, strict=True)
    ]
    try:
        await _write(_pipe(process.stdin), program.stdin)
        code = await process.wait()
        await asyncio.wait(readers, timeout=LINGER_S)
        for reader in readers:
            if reader.done():
                reader.result()
        return code
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


def _pipe(stream: T | None) -> T:
    assert stream is not None, "all three streams of the program are pipes"
    return stream


async def _write(stream: asyncio.StreamWriter, text: str) -> None:
    """Programs need not read their input."""
    try:
        stream.write(text.encode())
        await stream.drain()
        stream.close()
    except (BrokenPipeError, ConnectionResetError):
        return


async def _read(stream: asyncio.StreamReader, output: Output) -> None:
    while data := await stream.read(READ_BYTES):
        output.feed(data)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing to do after a normal end; otherwise ask once, then kill. Descendants are killed with the run."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(TERM_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment(context: Any, program: Program) -> dict[str, str]:
    return {
        **for_programs(os.environ),
        "TRIALBOOK_RUN": context.run,
        "TRIALBOOK_WORKSPACE": context.workspace,
        "TRIALBOOK_ATTEMPT": str(context.attempt),
        "TRIALBOOK_SEED": str(context.seed),
        "TRIALBOOK_INPUTS": msgspec.json.encode({k: str(v) for k, v in context.inputs.items()}).decode(),
        **program.env,
    }


async def _artifacts(context: Any, program: Program) -> dict[str, str]:
    """Store the files that the patterns match: name (path inside the working directory) -> sha256."""
    stored: dict[str, str] = {}
    root = context.workdir.resolve()
    for pattern in program.artifacts:
        matches = [path for path in sorted(root.glob(pattern)) if path.is_file()]
        if not matches:
            context.log(f"no file matches the artifact pattern {pattern!r}", level="warning", logger="trialbook")
        for path in matches:
            name = path.relative_to(root).as_posix()
            if not path.resolve().is_relative_to(root):
                context.log(f"{name!r} leads out of the working directory", level="warning", logger="trialbook")
            elif name not in stored:
                stored[name] = await context.artifact(name, path)
    return stored


def _failure(program: Program, code: int, outputs: tuple[Output, Output]) -> Failure:
    stdout, stderr = outputs
    tail = "\n".join(stderr.tail or stdout.tail)[-TAIL_CHARACTERS:]
    if code < 0:
        name = signal.Signals(-code).name
        return Failure("killed_by_signal", f"{program.argv[0]!r} was ended by {name}.", signal=name, output=tail)
    return Failure("exit_code", f"{program.argv[0]!r} ended with exit code {code}.", exit_code=code, output=tail)
