"""System calls the standard library has no function for, and their numbers on the machines we know."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

import msgspec

AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The value seccomp sees as the architecture of a call."""

# name -> (x86_64, aarch64); None where the call does not exist.
NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "_sysctl": (156, None), "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280),
    "chroot": (161, 51), "clock_adjtime": (305, 266), "clock_settime": (227, 112), "clone": (56, 220),
    "clone3": (435, 435), "create_module": (174, None), "delete_module": (176, 106), "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263), "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "get_kernel_syms": (177, None), "init_module": (175, 105),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "ioctl": (16, 29),
    "ioperm": (173, None), "iopl": (172, None), "kcmp": (312, 272), "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "keyctl": (250, 219), "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446), "listmount": (458, 458),
    "lookup_dcookie": (212, 18), "lsm_set_self_attr": (460, 460), "mbind": (237, 235), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "migrate_pages": (256, 238), "mknod": (133, None), "mknodat": (259, 33),
    "modify_ldt": (154, None), "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429),
    "move_pages": (279, 239), "mq_open": (240, 180), "msgget": (68, 186), "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42), "open_by_handle_at": (304, 265), "open_tree": (428, 428), "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438), "pivot_root": (155, 41),
    "process_madvise": (440, 440), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "query_module": (178, None), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "reboot": (169, 142), "request_key": (249, 218), "semget": (64, 190), "setdomainname": (171, 162),
    "setgroups": (116, 159), "sethostname": (170, 161), "setns": (308, 268), "setresgid": (119, 149),
    "setresuid": (117, 147), "settimeofday": (164, 170), "shmget": (29, 194), "socket": (41, 198),
    "socketpair": (53, 199), "statmount": (457, 457), "swapoff": (168, 225), "swapon": (167, 224),
    "sysfs": (139, None), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97), "uselib": (134, None),
    "userfaultfd": (323, 282), "ustat": (136, None), "vhangup": (153, 58),
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


class Machine(msgspec.Struct, frozen=True):
    """An architecture: the value seccomp knows it by and its system call numbers."""

    name: str
    audit: int
    numbers: dict[str, int]


def machine(name: str = "") -> Machine | None:
    """The named architecture (default: this one), None when its calls are not known to us."""
    name = name or platform.machine()
    if name not in AUDIT_ARCH:
        return None
    column = list(AUDIT_ARCH).index(name)
    numbers = {call: number for call, both in NUMBERS.items() if (number := both[column]) is not None}
    return Machine(name, AUDIT_ARCH[name], numbers)


def call(number: int, *arguments: int | bytes | None) -> int:
    """A raw system call. Raises ``OSError``."""
    converted = [a if isinstance(a, bytes) else ctypes.c_long(a or 0) for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
