"""Which walls can be had on this machine, and what to install or enable for the others."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from trialbook_runner.sandbox import cgroup, identity, landlock
from trialbook_runner.sandbox.bwrap import AS_ROOT, AS_USER, NAMESPACES, version
from trialbook_runner.sandbox.kernel import Machine, machine
from trialbook_runner.sandbox.types import Check, Wall, Walls

LOWEST_BWRAP = (0, 8, 0)
TRIAL_S = 20.0


def probe(choice: str = "", cgroup_name: str = "") -> Walls:
    """Look, by making an empty sandbox. ``choice`` is the setting TRIALBOOK_SANDBOX: empty for the best wall there is,
    a wall's name to insist on it, ``none`` to run without walls.
    """
    here = machine()
    identity_check = identity.check()
    bwrap = _with_identity(_bwrap(here), identity_check)
    confined = _with_identity(_landlock(here), identity_check)
    wall, refusal = _choose(choice, bwrap, confined)
    return Walls(
        bwrap=bwrap, landlock=confined, cgroup=cgroup.check(cgroup_name), identity=identity_check, wall=wall,
        refusal=refusal,
    )  # fmt: skip


def _choose(choice: str, bwrap: Check, confined: Check) -> tuple[Wall | None, str]:
    if choice == "none":
        return "none", ""
    if choice not in {"", "bwrap", "landlock"}:
        return None, f"TRIALBOOK_SANDBOX is {choice!r}; it may be bwrap, landlock or none"
    reasons = []
    walls: tuple[tuple[Wall, Check], ...] = (("bwrap", bwrap), ("landlock", confined))
    for name, check in walls:
        if choice in {"", name}:
            if check.usable:
                return name, ""
            reasons.append(f"{name}: {check.detail}")
    return None, "; ".join(reasons) + ". TRIALBOOK_SANDBOX=none runs programs without walls"


def _with_identity(check: Check, identity_check: Check) -> Check:
    return identity_check if check.usable and not identity_check.usable else check


def _bwrap(here: Machine | None) -> Check:
    if here is None:
        return _unknown_machine()
    binary = shutil.which("bwrap", path=os.defpath + ":/usr/local/bin")
    if binary is None:
        return Check(usable=False, detail="bubblewrap is not installed: sudo apt install bubblewrap")
    found = _run([binary, "--version"])
    if version(found.stdout) < LOWEST_BWRAP:
        return Check(usable=False, detail=f"{found.stdout.strip()} is too old, {_dots(LOWEST_BWRAP)} is needed")
    how = AS_ROOT if os.geteuid() == 0 else AS_USER
    trial = _run([binary, *how, *NAMESPACES, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"])
    if trial.returncode != 0:
        reason = trial.stderr.strip().partition("\n")[0] or f"exit code {trial.returncode}"
        return Check(usable=False, detail=f"{reason}. {_advice()}")
    ruleset = landlock.abi(here)
    second = f"Landlock ABI {ruleset}" if ruleset else "without Landlock as a second wall (the kernel has none)"
    return Check(usable=True, detail=f"{found.stdout.strip()}, {second}")


def _landlock(here: Machine | None) -> Check:
    if here is None:
        return _unknown_machine()
    found = landlock.abi(here)
    if not found:
        return Check(usable=False, detail="the kernel has no Landlock (needs Linux 5.13 with landlock in lsm=)")
    if os.geteuid() != 0 and found < landlock.SIGNAL_SCOPE_ABI:
        return Check(
            usable=False,
            detail=f"Landlock ABI {found} cannot keep a program from signalling what watches over it (needs ABI "
            f"{landlock.SIGNAL_SCOPE_ABI}, Linux 6.12)",
        )
    python = Path(sys.executable).resolve()
    hidden = os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in python.parents)
    note = f"; programs cannot execute {python}, which only root reaches" if hidden else ""
    return Check(usable=True, detail=f"Landlock ABI {found}, seccomp and rlimits{note}")


def _advice() -> str:
    if os.geteuid() == 0:
        return "Root needs CAP_SYS_ADMIN for it; in a container allow user namespaces and mounts, or use Landlock"
    switches = {
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": ("1", "sudo apt install apparmor-profiles, or set 0"),
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "set it to 1"),
        "/proc/sys/user/max_user_namespaces": ("0", "raise it"),
    }
    found = []
    for path, (bad, advice) in switches.items():
        try:
            if Path(path).read_text().strip() == bad:
                found.append(f"{path} is {bad}: {advice}")
        except OSError:  # this kernel has no such switch
            continue
    return "; ".join(found) or "User namespaces are not allowed here"


def _unknown_machine() -> Check:
    return Check(usable=False, detail=f"no seccomp filter is known for {platform.system()} on {platform.machine()}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- fixed words and a binary of the system
        command, capture_output=True, text=True, timeout=TRIAL_S, check=False, stdin=subprocess.DEVNULL
    )


def _dots(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
