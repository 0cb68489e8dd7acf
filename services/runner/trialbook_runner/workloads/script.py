"""``script``: a program that nobody vouches for, run in the sandbox. See ``docs/sandbox.md`` for what holds."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from trialbook.workload import Cancelled, Failure
from trialbook.workload import workload as register
from trialbook_runner.sandbox import Limits, Sandbox, Stream, Verdict
from trialbook_runner.workloads.programs import TAIL_CHARACTERS, Output

DESCRIPTION = (
    "Runs an uploaded or inline program in the sandbox: no network, the inputs read-only in 'inputs', one writable "
    "directory. Output becomes log lines, files that match the artifact patterns are stored, lines that start with "
    "'::trialbook ' report progress, metrics, rows and a result."
)
PROGRAM = "_program"
"""The name of an inline program among the inputs."""
SHARE_OF_MEMORY = 0.75
INTERPRETERS: dict[str, tuple[str, ...]] = {"python": (sys.executable,), "shell": ("/bin/sh",)}
Text = Annotated[str, msgspec.Meta(max_length=1024 * 1024)]


class Script(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to run: ``source`` (inline), ``file`` (the name of an input) or neither, then ``argv`` is the whole command.

    With a source or a file ``argv`` are its arguments. ``artifacts`` are glob patterns relative to the working
    directory. ``limits`` bound the program; the run's own time limit holds besides.
    """

    source: Text = ""
    file: str = ""
    language: Literal["python", "shell"] = "python"
    argv: Annotated[list[str], msgspec.Meta(max_length=1024)] = []
    env: dict[str, str] = {}
    artifacts: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    limits: Limits = msgspec.field(default_factory=Limits)
    allowed_exit_codes: list[int] = msgspec.field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        if bool(self.source) + bool(self.file) > 1:
            raise ValueError("give a source or a file, not both")
        if not (self.source or self.file or self.argv):
            raise ValueError("give a source, a file or a command in argv")
        for pattern in self.artifacts:
            if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise ValueError(f"{pattern!r} is not a pattern inside the working directory")


@register("script", params=Script, isolation="sandbox", title="Script", description=DESCRIPTION)
async def workload(ctx: Any, params: Script) -> dict[str, Any]:
    """Run and return ``{exit_code, value, artifacts, wall, seconds, start_s, peak_memory_bytes}``."""
    _check_limits(params.limits)
    inputs: dict[str, Path] = dict(ctx.inputs)
    if params.file and params.file not in inputs:
        raise Failure("unknown_input", f"The run has no input {params.file!r}.", retryable=False)
    with tempfile.TemporaryDirectory(prefix="trialbook-script-") as scratch:
        if params.source:
            inputs[PROGRAM] = _write(Path(scratch), params.source)
        return await _run(ctx, params, inputs)


def _write(directory: Path, source: str) -> Path:
    """The inline program as a file that the program's user, who may be another, can read."""
    path = directory / PROGRAM
    path.write_text(source)
    path.chmod(0o644)
    directory.chmod(0o755)
    return path


async def _run(ctx: Any, params: Script, inputs: dict[str, Path]) -> dict[str, Any]:
    sandbox: Sandbox = ctx.sandbox
    outputs: dict[Stream, Output] = {"stdout": Output(ctx, "stdout"), "stderr": Output(ctx, "stderr")}

    async def on_output(stream: Stream, data: bytes) -> None:
        outputs[stream].feed(data)

    try:
        verdict = await sandbox.run(
            _command(params, sandbox.places(ctx.workdir, inputs).inputs), workdir=ctx.workdir, limits=params.limits,
            inputs_readonly=inputs, env=_environment(ctx, params), on_output=on_output,
        )  # fmt: skip
    except ValueError as error:
        raise Failure("invalid_params", str(error), retryable=False) from error
    finally:
        for output in outputs.values():
            output.finish()
    for name in verdict.left_out:
        ctx.log(f"not handed back: {name}", level="warning", logger="trialbook")
    stored = await _artifacts(ctx, params.artifacts)
    _raise(verdict, params, outputs)
    return {
        "exit_code": verdict.code, "value": outputs["stdout"].result, "artifacts": stored, "wall": verdict.wall,
        "seconds": verdict.seconds, "start_s": verdict.start_s, "peak_memory_bytes": verdict.peak_memory_bytes,
    }  # fmt: skip


def _command(params: Script, places: dict[str, str]) -> list[str]:
    program = PROGRAM if params.source else params.file
    return [*INTERPRETERS[params.language], places[program], *params.argv] if program else params.argv


def _environment(ctx: Any, params: Script) -> dict[str, str]:
    return {
        "PYTHONUNBUFFERED": "1",  # so that lines are live
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",  # a thread for each core of a large machine would meet the limit of processes
        "TRIALBOOK_RUN": ctx.run,
        "TRIALBOOK_WORKSPACE": ctx.workspace,
        "TRIALBOOK_ATTEMPT": str(ctx.attempt),
        "TRIALBOOK_SEED": str(ctx.seed),
        **params.env,
    }


def _check_limits(limits: Limits) -> None:
    """What a program asks for has to leave something to the machine."""
    ceiling = int(SHARE_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if limits.memory_bytes + limits.disk_bytes + 2 * limits.tmp_bytes > ceiling:
        detail = f"Memory, disk and temporary space together exceed {ceiling} bytes, which this machine can give."
        raise Failure("limits_too_large", detail, retryable=False)


async def _artifacts(ctx: Any, patterns: list[str]) -> dict[str, str]:
    """Store the files that the patterns match: name -> sha256. Links are not followed, wherever they lead."""
    stored: dict[str, str] = {}
    root = ctx.workdir.resolve()
    for pattern in patterns:
        matches = [path for path in sorted(root.glob(pattern)) if path.is_file() and path.resolve() == path]
        if not matches:
            ctx.log(f"no file matches the artifact pattern {pattern!r}", level="warning", logger="trialbook")
        for path in matches:
            name = path.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()
            if name not in stored:
                stored[name] = await ctx.artifact(name, path)
    return stored


def _raise(verdict: Verdict, params: Script, outputs: dict[Stream, Output]) -> None:
    """Raises what the verdict means, unless the program ended as it may."""
    if verdict.cause == "exited" and verdict.code in params.allowed_exit_codes:
        return
    if verdict.cause == "cancelled":
        raise Cancelled
    tail = "\n".join(outputs["stderr"].tail or outputs["stdout"].tail)[-TAIL_CHARACTERS:]
    about: dict[str, Any] = {"output": tail, "wall": verdict.wall, "seconds": verdict.seconds}
    if verdict.cause == "exited":
        raise Failure(
            "exit_code", f"The program ended with exit code {verdict.code}.", exit_code=verdict.code, **about
        )  # fmt: skip
    if verdict.cause == "signalled":
        raise Failure("killed_by_signal", f"The program was ended by {verdict.detail}.", signal=verdict.signal, **about)
    text = verdict.cause.replace("_", " ").capitalize()
    raise Failure(
        verdict.cause, f"{text}: {verdict.detail}.", peak_memory_bytes=verdict.peak_memory_bytes, **about
    )  # fmt: skip
