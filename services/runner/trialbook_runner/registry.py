"""The workloads of this runner: entry points of the group ``trialbook.workloads``. A broken one is reported."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

import msgspec

from trialbook.workload import Workload

log = logging.getLogger(__name__)
GROUP = "trialbook.workloads"
MAX_REASON = 500


class Registry(msgspec.Struct, frozen=True):
    """Loaded workloads by name, and entry points that could not be loaded with the reason."""

    workloads: dict[str, Workload]
    broken: dict[str, str]


def load_registry(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Load all entry points (default: the installed ones). Never raises: what fails is in ``broken``."""
    workloads: dict[str, Workload] = {}
    broken: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP) if points is None else points, key=lambda p: p.name):
        try:
            found = _load(point, workloads)
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a plugin may raise anything; it is reported
            broken[point.name] = f"{type(error).__name__}: {error}"[:MAX_REASON]
            log.warning("workload plugin %r is broken: %s", point.name, broken[point.name])
        else:
            workloads[found.name] = found
    return Registry(workloads, broken)


def _load(point: EntryPoint, loaded: dict[str, Workload]) -> Workload:
    found = point.load()
    if not isinstance(found, Workload):
        raise TypeError(f"{point.value} is a {type(found).__name__}, not a Workload; decorate it with @workload(...)")
    if found.name in loaded:
        raise ValueError(f"the workload name {found.name!r} is registered twice")
    found.schema()  # a parameter model without a schema is broken as well
    return found
