"""The seccomp filter, as the bytes of a classic BPF program. What is not denied is allowed.

Everything denied answers EPERM, except calls whose absence programs are used to: those answer ENOSYS, so that they
take their other way. A call of another architecture (the i386 or x32 tables of an x86_64 kernel) ends the process.
"""

from __future__ import annotations

import errno
import socket
import stat
import struct
from typing import Final

from trialbook_runner.sandbox.kernel import Machine

DENIED: Final = (
    # memory and state of other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "move_pages",
    "migrate_pages",
    # keys, tracing, programs in the kernel, faults handled in user space
    "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "lookup_dcookie",
    # mounts and roots
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "statmount", "listmount", "swapon", "swapoff", "quotactl", "quotactl_fd",
    "name_to_handle_at", "open_by_handle_at", "fanotify_init", "fanotify_mark", "sysfs", "ustat", "nfsservctl",
    # namespaces and security attributes
    "unshare", "setns", "lsm_set_self_attr",
    # the machine
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module",
    "query_module", "get_kernel_syms", "reboot", "acct", "syslog", "settimeofday", "clock_settime", "clock_adjtime",
    "adjtimex", "sethostname", "setdomainname", "vhangup", "iopl", "ioperm", "modify_ldt", "uselib", "_sysctl",
)  # fmt: skip
ABSENT: Final = (
    "clone3",  # its flags are in memory, where a filter cannot look; libraries fall back to clone
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    # memory that belongs to no process while nobody has it mapped, and so escapes the watch
    "memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open",
)  # fmt: skip

CLONE_NAMESPACES: Final = 0x7E020080
"""NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423
X32_BIT: Final = 0x40000000

_LOAD, _JEQ, _JGE, _JSET, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16
ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
ERRNO: Final = 0x00050000

Instruction = tuple[int, int, int, int]


def program(machine: Machine, *, unix_sockets: bool) -> bytes:
    """The filter for a machine. ``unix_sockets``: whether AF_UNIX sockets may be made (they may where the network and
    mount namespaces are private); connected pairs may always, every other family never.
    """
    code = _entry(machine)
    for names, answer in ((DENIED, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for name in names:
            if name in machine.numbers:
                code += [(_JEQ, 0, 1, machine.numbers[name]), (_RETURN, 0, 0, ERRNO | answer)]
    for name, check in _argument_checks(unix_sockets=unix_sockets).items():
        if name in machine.numbers:
            code += [(_JEQ, 0, len(check), machine.numbers[name]), *check]
    return _assembled(code)


def only_families(machine: Machine, families: list[int]) -> bytes:
    """A filter that denies sockets of all other families, also by way of io_uring, and nothing else."""
    code = _entry(machine)
    check = _only(0, families, errno.EACCES)
    code += [(_JEQ, 0, 1, machine.numbers["io_uring_setup"]), (_RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    code += [(_JEQ, 0, len(check), machine.numbers["socket"]), *check]
    return _assembled(code)


def _entry(machine: Machine) -> list[Instruction]:
    """Ends the process for calls of another table; the call's number is loaded then."""
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, machine.audit), (_RETURN, 0, 0, KILL)]
    code.append((_LOAD, 0, 0, _NUMBER))
    if machine.name == "x86_64":
        code += [(_JGE, 0, 1, X32_BIT), (_RETURN, 0, 0, KILL)]
    return code


def _assembled(code: list[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in [*code, (_RETURN, 0, 0, ALLOW)])


def _argument_checks(*, unix_sockets: bool) -> dict[str, list[Instruction]]:
    """Call -> instructions that decide by its arguments. Each list ends with a return."""
    device = _device_check
    return {
        "clone": [
            (_LOAD, 0, 0, _low(0)),
            (_JSET, 0, 1, CLONE_NAMESPACES),
            (_RETURN, 0, 0, ERRNO | errno.EPERM),
            (_RETURN, 0, 0, ALLOW),
        ],
        "socket": _only(0, [int(socket.AF_UNIX)] if unix_sockets else [], errno.EACCES),
        "socketpair": _only(0, [int(socket.AF_UNIX)], errno.EACCES),
        "personality": _only(0, [0, 0xFFFFFFFF], errno.EPERM),
        "ioctl": _none_of(1, [TIOCSTI, TIOCLINUX, TIOCSETD], errno.EPERM),
        "mknod": device(1),
        "mknodat": device(2),
    }


def _low(argument: int) -> int:
    """Offset of the lower half of an argument (both machines are little-endian)."""
    return _ARGUMENT + 8 * argument


def _only(argument: int, values: list[int], answer: int) -> list[Instruction]:
    code: list[Instruction] = [(_LOAD, 0, 0, _low(argument))]
    for value in values:
        code += [(_JEQ, 0, 1, value), (_RETURN, 0, 0, ALLOW)]
    return [*code, (_RETURN, 0, 0, ERRNO | answer)]


def _none_of(argument: int, values: list[int], answer: int) -> list[Instruction]:
    code: list[Instruction] = [(_LOAD, 0, 0, _low(argument))]
    for value in values:
        code += [(_JEQ, 0, 1, value), (_RETURN, 0, 0, ERRNO | answer)]
    return [*code, (_RETURN, 0, 0, ALLOW)]


def _device_check(argument: int) -> list[Instruction]:
    code: list[Instruction] = [(_LOAD, 0, 0, _low(argument)), (_AND, 0, 0, stat.S_IFMT(0o177777))]
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        code += [(_JEQ, 0, 1, kind), (_RETURN, 0, 0, ERRNO | errno.EPERM)]
    return [*code, (_RETURN, 0, 0, ALLOW)]
