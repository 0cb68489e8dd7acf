"""This machine: Python, optional parts, sandbox, disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from trialbook_deploy.doctor.finding import Finding, fail, ok, size_text, warn
from trialbook_runner.sandbox.probe import probe
from trialbook_runner.sandbox.types import Check

MIN_PYTHON = (3, 11)
GIB = 1024**3
DISK_FAIL_BYTES, DISK_WARN_BYTES = 1 * GIB, 5 * GIB
EXTRA_USE = {
    "server": "gateway, runner and projector on this machine",
    "up": "the embedded nats-server",
    "llm": "language model providers",
    "finetune": "fine-tuning workloads",
    "s3": "exports and sealed facts in S3",
    "algomancy": "scenarios: tables, spreadsheets, solvers",
}
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+).*extra\s*==\s*['\"](?P<extra>[a-z0-9_-]+)['\"]")


def check_machine(data_dir: Path) -> list[Finding]:
    """All checks of this machine."""
    return [python(), *extras(), sandbox(), disk(data_dir)]


def python() -> Finding:
    """The interpreter's version."""
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, trialbook " + (
        metadata.version("trialbook")
    )
    if sys.version_info < MIN_PYTHON:
        return fail("python", text, "Install Python 3.11 or newer.")
    return ok("python", text)


def extras() -> list[Finding]:
    """Optional parts: which are installed, and what the others are for."""
    wanted: dict[str, list[str]] = {}
    for requirement in metadata.requires("trialbook") or []:
        match = _REQUIREMENT.match(requirement)
        if match and match["extra"] in EXTRA_USE:
            wanted.setdefault(match["extra"], []).append(match["name"])
    return [_extra(name, distributions) for name, distributions in sorted(wanted.items())]


def _extra(name: str, distributions: list[str]) -> Finding:
    missing = [one for one in distributions if not _installed(one)]
    use = EXTRA_USE[name]
    if not missing:
        return ok(f"extra {name}", f"installed ({use})")
    remedy = f"For {use}: pip install 'trialbook[{name}]'"
    return warn(f"extra {name}", f"not installed: {', '.join(missing)}", remedy)


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def sandbox() -> Finding:
    """Which wall the programs of a runner on this machine get: tried as the runner tries it, not assumed."""
    choice, named = os.environ.get("TRIALBOOK_SANDBOX", ""), os.environ.get("TRIALBOOK_SANDBOX_CGROUP", "")
    try:
        walls = probe(choice, named)
    except (OSError, subprocess.SubprocessError) as error:
        return warn("sandbox", f"the walls cannot be tried: {error}", "See docs/sandbox.md.")
    parts = (("bwrap", walls.bwrap), ("landlock", walls.landlock), ("control groups", walls.cgroup))
    found = "; ".join(_wall_text(name, check) for name, check in parts)
    if walls.wall is None:
        text = f"no wall; workloads that ask for a sandbox are refused: {walls.refusal}"
        return warn("sandbox", text, "Install or enable one of them: docs/sandbox.md.")
    if walls.wall == "none":
        text = f"TRIALBOOK_SANDBOX=none: programs run without walls ({found})"
        return warn("sandbox", text, "Unset it where programs of others run.")
    if named and not walls.cgroup.usable:
        text = f"programs run behind {walls.wall}, but not in groups of TRIALBOOK_SANDBOX_CGROUP ({found})"
        return warn("sandbox", text, "Name a group of version 2 with the controllers memory and pids: docs/sandbox.md.")
    return ok("sandbox", f"programs run behind {walls.wall} ({found})")


def _wall_text(name: str, check: Check) -> str:
    return f"{name}: {check.detail}" if check.usable else f"{name} is not usable: {check.detail}"


def disk(data_dir: Path) -> Finding:
    """Space where the data directory is, or will be."""
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    text = f"{size_text(usage.free)} of {size_text(usage.total)} free at {existing}"
    if usage.free < DISK_FAIL_BYTES:
        return fail("disk", text, "Free space before the ledger cannot be appended to, or choose another --data-dir.")
    if usage.free < DISK_WARN_BYTES:
        return warn("disk", text, "Free some space; signals may take up to 16 GiB by default.")
    return ok("disk", text)
