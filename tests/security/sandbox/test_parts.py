"""Parts of the sandbox by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook_runner.sandbox import Check, cgroup, identity, landlock, mounts
from trialbook_runner.sandbox.bwrap import private_files, version
from trialbook_runner.sandbox.files import MAX_LEFT_OUT, Copy, TooLarge
from trialbook_runner.sandbox.kernel import machine

PROBE = """
import os, sys, signal
from pathlib import Path
from trialbook_runner.sandbox.kernel import machine, call
from trialbook_runner.sandbox.landlock import Ruleset, READ, WRITE
import ctypes
here = machine()
rules = Ruleset(here, int(sys.argv[1]))
rules.allow(READ, [Path("/usr"), Path("/lib"), Path(sys.prefix), Path(sys.base_prefix)])
rules.allow(READ | WRITE, [Path(sys.argv[2])])
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0
call(here.numbers["landlock_restrict_self"], rules.fd, 0)
Path(sys.argv[2], "in").write_text("x")
out = Path(sys.argv[3])
for action in (lambda: (out / "out").write_text("x"), lambda: os.listdir(out), lambda: open("/etc/passwd")):
    try:
        action()
    except PermissionError:
        continue
    sys.exit("not held")
"""


def copy(source: Path, target: Path, max_bytes: int = 1000, max_files: int = 100) -> list[str]:
    fds = [os.open(path, os.O_RDONLY) for path in (source, target)]
    try:
        done = Copy(max_bytes, max_files)
        done.run(*fds)
    finally:
        for fd in fds:
            os.close(fd)
    return done.left_out


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "source", tmp_path / "target"
    for path in paths:
        path.mkdir()
    return paths


def test_links_lead_nowhere_on_either_side(both: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = both
    secret, outside = tmp_path / "secret", tmp_path / "outside"
    secret.write_text("secret")
    outside.mkdir()
    (source / "leak").symlink_to(secret)
    (source / "file").write_text("new")
    (source / "sub").mkdir()
    (source / "sub" / "x").write_text("planted")
    (target / "file").symlink_to(secret)  # replaced, not followed
    (target / "sub").symlink_to(outside)  # not entered
    left_out = copy(source, target)
    assert secret.read_text() == "secret"
    assert not list(outside.iterdir())
    assert (target / "file").read_text() == "new"
    assert not (target / "file").is_symlink()
    assert not (target / "leak").exists()
    assert sorted(text.partition(":")[0] for text in left_out) == ["leak", "sub"]


def test_a_file_where_a_directory_stands(both: tuple[Path, Path]) -> None:
    source, target = both
    (source / "a").write_text("x")
    (target / "a").mkdir()
    (source / "b").mkdir()
    (target / "b").write_text("x")
    assert len(copy(source, target)) == 2


def test_limits_of_a_copy(both: tuple[Path, Path]) -> None:
    source, target = both
    (source / "a").write_bytes(b"x" * 600)
    (source / "b").write_bytes(b"x" * 600)
    with pytest.raises(TooLarge):
        copy(source, target)
    with pytest.raises(TooLarge):
        copy(source, target, max_bytes=5000, max_files=1)
    assert copy(source, target, max_bytes=1200) == []


def test_what_is_left_out_is_bounded(both: tuple[Path, Path]) -> None:
    source, target = both
    for number in range(2 * MAX_LEFT_OUT):
        (source / f"l{number}").symlink_to("x")
    assert len(copy(source, target, max_files=1000)) == MAX_LEFT_OUT


def test_modes_keep_only_execution(both: tuple[Path, Path]) -> None:
    source, target = both
    for name, mode in (("a", 0o6755), ("b", 0o666)):
        (source / name).write_text("x")
        (source / name).chmod(mode)
    copy(source, target)
    assert (target / "a").stat().st_mode & 0o7777 == 0o755
    assert (target / "b").stat().st_mode & 0o7777 == 0o644


def test_user_ids_of_programs() -> None:
    everything = "         0          0 4294967295\n"
    assert identity.first_uid(everything) == identity.FIRST_UID
    assert identity.first_uid("0 100000 65536\n") == 65535 - identity.UIDS
    assert identity.first_uid("0 1000 1\n") is None


def test_two_programs_never_share_an_identity() -> None:
    with identity.identity() as first, identity.identity() as second:
        assert first != second or first == second == -1
    with identity.identity() as again:
        assert again == first


def test_where_groups_would_be() -> None:
    mounts_text = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
    assert cgroup.mounted(mounts_text + "tmpfs /tmp tmpfs rw 0 0\n") == [Path("/sys/fs/cgroup")]
    assert cgroup.candidate("", mounts_text, "0::/user.slice/a\n") == Path("/sys/fs/cgroup/user.slice/a")
    assert cgroup.candidate("/x", mounts_text, "0::/a\n") == Path("/x")
    assert cgroup.candidate("", "tmpfs /tmp tmpfs rw 0 0\n", "0::/a\n") is None
    assert cgroup.candidate("", mounts_text, "4:memory:/a\n") is None


def test_a_group_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    (tmp_path / "mounts").write_text(f"cgroup2 {tmp_path} cgroup2 rw 0 0\n")
    (tmp_path / "cgroup").write_text("0::/group\n")
    assert "No such file" in cgroup.check(str(tmp_path / "none"), tmp_path).detail
    (group / "cgroup.controllers").write_text("cpu pids\n")
    (group / "cgroup.subtree_control").write_text("\n")
    assert "no memory controller" in cgroup.check("", tmp_path).detail
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    assert "does not pass memory and pids on" in cgroup.check(str(group), tmp_path).detail
    (group / "cgroup.subtree_control").write_text("memory pids\n")
    (group / "cgroup.procs").write_text("\n")
    assert cgroup.check("", tmp_path) == Check(usable=True, detail=str(group))
    assert "in no file system of control groups" in cgroup.check(str(group)).detail


def test_versions() -> None:
    assert version("bubblewrap 0.8.0") == (0, 8, 0)
    assert version("bubblewrap 0.11") > version("bubblewrap 0.8.0") > version("?")


def test_files_that_only_their_owner_may_read(tmp_path: Path) -> None:
    closed, shut = tmp_path / "closed", tmp_path / "shut"
    closed.write_text("x")
    closed.chmod(0o600)
    assert private_files({"a": closed, "b": Path("/usr")}) == ["a"]
    shut.mkdir(mode=0o700)
    with pytest.raises(PermissionError, match="'a'"):
        private_files({"a": shut})


def test_parents_of_mounts() -> None:
    assert mounts.parents(["/usr", "/a/b/c", "/a/b/c/d", "/usr/x"]) == ["/a", "/a/b"]


@pytest.mark.parametrize("version_of_landlock", range(1, landlock.abi(machine()) + 1))
def test_every_version_of_landlock_holds(version_of_landlock: int, both: tuple[Path, Path]) -> None:
    inside, outside = both
    command = [sys.executable, "-c", PROBE, str(version_of_landlock), str(inside), str(outside)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert (inside / "in").exists()
    assert not list(outside.iterdir())


def test_this_kernel_has_landlock() -> None:
    assert landlock.abi(machine()) >= 1


async def test_the_end_of_the_runner_is_the_end_of_its_programs(tmp_path: Path) -> None:
    seconds = f"83{os.getpid()}"  # tells them from those of other tests at the same time
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom trialbook_runner.sandbox import Limits, Sandbox\n"
        "async def out(stream, data): print(data.decode(), flush=True)\n"
        f"asyncio.run(Sandbox(choice=sys.argv[1]).run(['/bin/sh', '-c', 'echo up; sleep {seconds}'],"
        " workdir=Path(sys.argv[2]), limits=Limits(), on_output=out))\n"
    )
    for wall in ("bwrap", "landlock"):
        place = Path("/tmp") / f"trialbook-{os.getpid()}-{wall}"
        place.mkdir(mode=0o755)
        runner = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, wall, str(place), stdout=asyncio.subprocess.PIPE
        )  # fmt: skip
        assert runner.stdout is not None
        assert await asyncio.wait_for(runner.stdout.readline(), 60) == b"up\n"
        runner.send_signal(signal.SIGKILL)
        await runner.wait()
        for _ in range(1200):
            if not running(seconds.encode()):
                break
            await asyncio.sleep(0.05)
        assert not running(seconds.encode()), wall
        subprocess.run(["rm", "-r", str(place)], check=True)


def running(word: bytes) -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if word in command and b"asyncio" not in command:
            found.append(command)
    return found
