"""Control groups of the kernel itself: what they bind where they are to be had, and what is said where they are not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.security.sandbox.conftest import HOSTILE, MIB, SMALL
from trialbook_deploy.doctor import machine
from trialbook_runner.sandbox import Sandbox, Stream, cgroup

pytestmark = pytest.mark.integration
NAME = f"trialbook-test-{os.getpid()}"


def _mounted() -> list[Path]:
    return cgroup.mounted(Path("/proc/self/mounts").read_text())


@pytest.fixture
def groups() -> Iterator[Path | None]:
    """A group below which groups with memory and process limits can be made: the delegated one, or what root can make.

    None where the kernel or the user's rights give none; what then holds is asserted instead.
    """
    named = cgroup.check(os.environ.get("TRIALBOOK_SANDBOX_CGROUP", ""))
    if named.usable:
        yield Path(named.detail)
        return
    made = _made()
    yield made
    if made is not None:
        made.rmdir()


def _made() -> Path | None:
    for root in _mounted():
        if set((root / "cgroup.controllers").read_text().split()) >= cgroup.NEEDED and os.access(root, os.W_OK):
            try:
                (root / "cgroup.subtree_control").write_text("+memory +pids")
                (root / NAME).mkdir()
                (root / NAME / "cgroup.subtree_control").write_text("+memory +pids")
            except OSError:
                continue
            return root / NAME
    return None


def _explained() -> None:
    """Where there are no groups, that is said, with what to do, and it keeps no program from running."""
    refused = cgroup.check("")
    assert not refused.usable
    assert "no cgroup version 2" in refused.detail or str(_mounted()[0]) in refused.detail
    assert any(word in refused.detail for word in ("controller", "delegated", "pass", "mounted", "Permission")), refused
    assert refused.detail in machine.sandbox().text


async def _hostile(sandbox: Sandbox, workdir: Path, name: str) -> tuple[str, str, int]:
    output = bytearray()

    async def keep(_: Stream, data: bytes) -> None:
        output.extend(data)

    shutil.copy(HOSTILE / name, workdir / "program.py")
    interpreter = sys.executable if sandbox.wall() == "bwrap" else "/usr/bin/python3"
    verdict = await sandbox.run([interpreter, "program.py"], workdir=workdir, limits=SMALL, on_output=keep)
    return verdict.cause, output.decode(), verdict.peak_memory_bytes


@pytest.mark.parametrize(("name", "cause"), [("memory_family.py", "memory_limit"), ("fork_bomb.py", "process_limit")])
async def test_bombs_end_in_a_group_as_they_do_without(
    groups: Path | None, wall: str, workdir: Path, name: str, cause: str
) -> None:
    if groups is None:
        _explained()
    sandbox = Sandbox(choice=wall, cgroup_name="" if groups is None else str(groups))
    assert sandbox.probe().cgroup.usable == (groups is not None)
    found, output, _ = await _hostile(sandbox, workdir, name)
    assert found == cause
    assert "ESCAPED" not in output
    assert groups is None or not list(groups.glob("sandbox-*")), "the program's group is removed"


def test_the_kernel_itself_holds_a_group_to_its_limits(groups: Path | None) -> None:
    """Without any watch: that is what groups are for."""
    if groups is None:
        _explained()
        return
    limits = msgspec.structs.replace(SMALL, memory_bytes=64 * MIB, processes=8, disk_bytes=MIB, tmp_bytes=MIB)
    group = cgroup.Group(groups, f"{NAME}-kernel", limits)
    try:
        bomb = "import sys; sys.stdin.read(1); held = bytearray(b'x') * (2 << 30); print('ESCAPED')"
        forks = (
            "import os, sys\nsys.stdin.read(1)\n"
            "for n in range(200):\n  try:\n    if not os.fork(): sys.stdin.read(); os._exit(0)\n"
            "  except BlockingIOError: print('refused after', n); break\nelse: print('ESCAPED')"
        )
        for program, check in ((forks, "refused after"), (bomb, "")):
            child = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            group.admit(child.pid)
            output, _ = child.communicate("x", timeout=60)
            assert "ESCAPED" not in output
            assert check in output
        counted = group.outcome()
        assert counted.out_of_memory
        assert counted.out_of_processes
    finally:
        group.remove()
    assert not group.path.exists()


def test_a_group_that_the_kernel_does_not_limit_is_not_left_behind() -> None:
    """As below a group without the controllers: version 1 has them, or they are not passed on."""
    for root in _mounted():
        plain = root / NAME
        try:
            plain.mkdir()
        except OSError:
            continue  # not ours to write to: nothing can be left behind there either
        try:
            assert not cgroup.check(str(plain)).usable
            with pytest.raises(OSError, match=r"memory\.max|pids\.max"):
                cgroup.Group(plain, "program", SMALL)
            assert not (plain / "program").exists()
        finally:
            plain.rmdir()


def test_doctor_warns_of_a_group_that_is_named_and_of_no_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIALBOOK_SANDBOX_CGROUP", str(tmp_path))
    finding = machine.sandbox()
    assert finding.level == "warn"
    assert f"{tmp_path} is in no file system of control groups" in finding.text


async def test_a_group_that_is_gone_is_a_sandbox_error_and_nothing_runs(wall: str, workdir: Path) -> None:
    sandbox = Sandbox(choice=wall)
    gone = msgspec.structs.replace(sandbox.probe().cgroup, usable=True, detail=f"/sys/fs/cgroup/{NAME}-gone/x")
    walls = msgspec.structs.replace(sandbox.probe(), cgroup=gone)
    found, output, _ = await _hostile(Sandbox(choice=wall, walls=walls), workdir, "fork_bomb.py")
    assert (found, output) == ("sandbox_error", "")
