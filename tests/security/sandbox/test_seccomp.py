"""The filter, executed by a BPF machine of a few lines, for both architectures."""

from __future__ import annotations

import errno
import stat
import struct

import pytest

from trialbook_runner.sandbox import seccomp
from trialbook_runner.sandbox.kernel import Machine, machine

EPERM, EACCES, ENOSYS = (seccomp.ERRNO | number for number in (errno.EPERM, errno.EACCES, errno.ENOSYS))
MACHINES = ["x86_64", "aarch64"]


def here(name: str) -> Machine:
    found = machine(name)
    assert found is not None
    return found


def decide(program: bytes, number: int, *arguments: int, audit: int) -> int:
    data = struct.pack("<IIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    accumulator = place = 0
    while True:
        code, true, false, value = struct.unpack_from("=HBBI", program, 8 * place)
        place += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x06:
            return int(value)
        else:
            met = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            place += true if met else false


@pytest.mark.parametrize("name", MACHINES)
def test_every_listed_call_is_refused(name: str) -> None:
    known = here(name)
    program = seccomp.program(known, unix_sockets=True)
    for calls, answer in ((seccomp.DENIED, EPERM), (seccomp.ABSENT, ENOSYS)):
        for call in calls:
            if call in known.numbers:
                assert decide(program, known.numbers[call], audit=known.audit) == answer, call
    for wanted in ("ptrace", "keyctl", "bpf", "mount", "unshare", "setns", "open_by_handle_at", "process_vm_writev"):
        assert wanted in known.numbers


@pytest.mark.parametrize("name", MACHINES)
def test_arguments_decide(name: str) -> None:
    known = here(name)
    outer, inner = (seccomp.program(known, unix_sockets=allowed) for allowed in (False, True))

    def ask(program: bytes, call: str, *arguments: int) -> int:
        return decide(program, known.numbers[call], *arguments, audit=known.audit)

    assert ask(inner, "clone", 17) == seccomp.ALLOW
    for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert ask(inner, "clone", flag | 17) == EPERM
    assert ask(inner, "socket", 1) == ask(outer, "socketpair", 1) == seccomp.ALLOW
    for family in (1, 2, 10, 16, 17, 38, 40):
        assert ask(outer, "socket", family) == EACCES
        assert ask(inner, "socket", family) == (seccomp.ALLOW if family == 1 else EACCES)
    assert ask(inner, "ioctl", 0, 0x5412) == EPERM
    assert ask(inner, "ioctl", 0, 0x5401) == seccomp.ALLOW
    assert ask(inner, "mknodat", 0, 0, stat.S_IFCHR | 0o600) == EPERM
    assert ask(inner, "mknodat", 0, 0, stat.S_IFIFO | 0o600) == seccomp.ALLOW
    assert ask(inner, "personality", 0xFFFFFFFF) == seccomp.ALLOW
    assert ask(inner, "personality", 0x40000) == EPERM


@pytest.mark.parametrize("name", MACHINES)
def test_the_upper_half_of_an_argument_hides_nothing(name: str) -> None:
    known = here(name)
    program = seccomp.program(known, unix_sockets=True)
    socket = known.numbers["socket"]
    assert decide(program, socket, 1 << 32 | 2, audit=known.audit) == EACCES
    assert decide(program, known.numbers["clone"], 1 << 32 | 0x10000000, audit=known.audit) == EPERM


def test_other_tables_end_the_process() -> None:
    x86, arm = here("x86_64"), here("aarch64")
    program = seccomp.program(x86, unix_sockets=True)
    assert decide(program, 20, audit=0x40000003) == seccomp.KILL
    assert decide(program, 20, audit=arm.audit) == seccomp.KILL
    assert decide(program, 0x40000000 | 39, audit=x86.audit) == seccomp.KILL
    assert decide(program, 39, audit=x86.audit) == seccomp.ALLOW


def test_unknown_machines_have_no_filter() -> None:
    assert machine("vax") is None
