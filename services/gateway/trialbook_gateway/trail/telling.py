"""A fact as a sentence. Facts that nobody has put into words are told by the name of their type and their members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

SHORT = 160
Data = dict[str, Any]


def short(value: Any, at_most: int = SHORT) -> str:
    """A value on one line: text as it is, anything else as JSON, cut where it is long."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    line = " ".join(text.split())
    return line if len(line) <= at_most else f"{line[:at_most]}..."


def _size(count: Any) -> str:
    return f"{count:,} bytes" if isinstance(count, int) else "some bytes"


def _ordered(data: Data) -> str:
    spec = data.get("spec") or {}
    said = [f"ordered the workload {short(spec.get('workload', '?'))}"]
    if spec.get("name"):
        said.append(f"under the name {short(spec['name'])!r}")
    if spec.get("params"):
        said.append(f"with {short(spec['params'])}")
    if spec.get("inputs"):
        said.append(f"and {len(spec['inputs'])} inputs ({short(', '.join(spec['inputs']))})")
    rules = [f"{name} {short(spec[name])}" for name in ("pool", "priority", "isolation", "seed") if spec.get(name)]
    if spec.get("replay_of"):
        rules.append(f"as a replay of {short(spec['replay_of'])}")
    if spec.get("parent"):
        rules.append(f"as a child of {short(spec['parent'])}")
    return " ".join(said) + (f"; {', '.join(rules)}" if rules else "")


def _error(data: Data) -> str:
    error = data.get("error") or {}
    return f"{short(error.get('code', 'error'))}: {short(error.get('detail', ''))}"


def _started(data: Data) -> str:
    wall = data.get("sandbox") or data.get("isolation") or "process"
    return f"{short(data.get('runner', '?'))} took the run: attempt {data.get('attempt')} ({short(wall)})"


def _completed(data: Data) -> str:
    end = f"attempt {data.get('attempt')} completed"
    if data.get("result_blob"):
        return f"{end}; the result is stored as {short(data['result_blob'])}"
    return f"{end} with the result {short(data['result'])}" if "result" in data else end


def _effect(data: Data) -> str:
    info = data.get("info") or {}
    return f"recorded the answer of the call {short(data.get('key', '?'))}" + (f" ({short(info)})" if info else "")


def _artifact(data: Data) -> str:
    kind = data.get("media_type", "application/octet-stream")
    return f"stored the artifact {short(data.get('name', '?'))!r}: {_size(data.get('size'))} of {short(kind)}, sha256 {short(data.get('sha256', '?'))}"  # noqa: E501


def _step(data: Data) -> str:
    return f"step {short(data.get('step', '?'))!r}"


def _because(data: Data) -> str:
    return f": {short(data['reason'])}" if data.get("reason") else ""


def _version(data: Data) -> str:
    files = data.get("files") or {}
    maker = f" made by run {short(data['run'])}" if data.get("run") else ""
    return f"added version {data.get('number')}{maker} with {len(files)} files ({short(', '.join(files))})"


def _named(data: Data) -> str:
    kind = f" ({short(data['kind'])})" if data.get("kind") else ""
    return f"registered {short(data.get('name', '?'))!r}{kind}"


def _uploaded(data: Data) -> str:
    return (
        f"uploaded {short(data.get('name', '?'))!r}: {_size(data.get('size'))}, sha256 {short(data.get('sha256', '?'))}"
    )


TELLING: dict[str, Callable[[Data], str]] = {
    "run.created": lambda d: f"{_ordered(d)}; it waits for its start",
    "run.submitted": _ordered,
    "run.queued": lambda d: (
        f"put it into the queue of pool {short(d.get('pool', 'default'))} ({short(d.get('reason', 'start'))})"
    ),
    "run.started": _started,
    "run.attempt_lost": lambda d: (
        f"attempt {d.get('attempt')} was lost with {short(d.get('runner', 'its runner'))}{_because(d)}"
    ),
    "run.attempt_failed": lambda d: (
        f"attempt {d.get('attempt')} failed ({_error(d)}); another one follows at {short(d.get('retry_at', '?'))}"
    ),
    "run.step_started": lambda d: f"began {_step(d)}",
    "run.step_completed": lambda d: f"{_step(d)} completed" + (f" with {short(d['result'])}" if "result" in d else ""),
    "run.step_failed": lambda d: f"{_step(d)} failed ({_error(d)})",
    "run.checkpointed": lambda d: f"attempt {d.get('attempt')} saved where it stands",
    "run.effect_recorded": _effect,
    "run.artifact_recorded": _artifact,
    "run.cancel_requested": lambda d: f"asked for its end{_because(d)}",
    "run.pause_requested": lambda _: "asked for a pause",
    "run.resume_requested": lambda _: "asked it to go on",
    "run.paused": lambda _: "it stands still",
    "run.completed": _completed,
    "run.failed": lambda d: f"attempt {d.get('attempt')} failed for good ({_error(d)})",
    "run.cancelled": lambda d: f"it was cancelled{_because(d)}",
    "run.reset": lambda _: "set it back to its beginning",
    "run.deleted": lambda _: "removed it from the lists",
    "name.claimed": lambda d: f"gave the name {short(d.get('name', '?'))!r} to {short(d.get('owner', '?'))}",
    "name.released": lambda d: f"took the name from {short(d.get('owner', '?'))}",
    "workspace.created": lambda d: f"opened the workspace {short(d.get('title', '?'))!r}",
    "workspace.renamed": lambda d: f"gave the workspace the title {short(d.get('title', '?'))!r}",
    "workspace.deleted": lambda _: "closed the workspace",
    "file.uploaded": _uploaded,
    "file.deleted": lambda _: "removed the file from the lists",
    "dataset.created": _named,
    "dataset.version_added": _version,
    "dataset.deleted": lambda _: "removed the dataset from the lists",
    "model.created": _named,
    "model.version_added": _version,
    "model.deleted": lambda _: "removed the model from the lists",
    "datasubject.registered": lambda _: "registered a data subject with a key of its own",
    "datasubject.erased": lambda d: f"erased the data subject: its key was destroyed{_because(d)}",
    "datasubject.shredded": lambda _: "overwrote what was stored of the data subject in clear",
}
"""Type without its version -> what the fact says."""


def sentence(type_: str, data: Any) -> str:
    """What a fact says, in words. Facts come from strangers' orders: values may be anything and are cut to be short."""
    told = TELLING.get(type_.rpartition(".v")[0])
    members = data if isinstance(data, dict) else {}
    if told is None:
        name = type_.rpartition(".v")[0].rpartition(".")[2].replace("_", " ") or type_
        return f"{name}: {short(data)}" if data else name
    try:
        return told(members)
    except (TypeError, AttributeError, ValueError, KeyError):  # members of other types than the release knows
        return f"{type_}: {short(data)}"
