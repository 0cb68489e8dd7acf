"""System calls that must answer "not permitted" or "not there" before the kernel looks at their arguments.

The arguments are such that the calls do nothing where nobody refuses them.
"""

import ctypes
import errno
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
calls = {  # name: (x86_64, aarch64, expected, arguments)
    "keyctl": (250, 219, errno.EPERM, [99]),
    "add_key": (248, 217, errno.EPERM, [0, 0, 0, 0, 0]),
    "request_key": (249, 218, errno.EPERM, [0, 0, 0, 0]),
    "bpf": (321, 280, errno.EPERM, [99, 0, 0]),
    "perf_event_open": (298, 241, errno.EPERM, [0, -1, -1, -1, 0]),
    "userfaultfd": (323, 282, errno.EPERM, [0xFFFF]),
    "io_uring_setup": (425, 425, errno.ENOSYS, [0, 0]),
    "io_uring_enter": (426, 426, errno.ENOSYS, [-1, 0, 0, 0, 0]),
    "kexec_load": (246, 104, errno.EPERM, [0, 1 << 20, 0, 0]),
    "kexec_file_load": (320, 294, errno.EPERM, [-1, -1, 0, 0, 0xFFFF]),
    "init_module": (175, 105, errno.EPERM, [0, 0, 0]),
    "finit_module": (313, 273, errno.EPERM, [-1, 0, 0xFFFF]),
    "delete_module": (176, 106, errno.EPERM, [0, 0]),
    "open_by_handle_at": (304, 265, errno.EPERM, [-1, 0, 0]),
    "swapon": (167, 224, errno.EPERM, [0, 0]),
    "swapoff": (168, 225, errno.EPERM, [0]),
    "reboot": (169, 142, errno.EPERM, [0, 0, 0, 0]),
    "move_mount": (429, 429, errno.EPERM, [-1, 0, -1, 0, 0]),
    "fsopen": (430, 430, errno.EPERM, [0, 0]),
    "open_tree": (428, 428, errno.EPERM, [-1, 0, 0]),
    "mount_setattr": (442, 442, errno.EPERM, [-1, 0, 0, 0, 0]),
    "process_madvise": (440, 440, errno.EPERM, [-1, 0, 0, 0, 0]),
    "pidfd_getfd": (438, 438, errno.EPERM, [-1, 0, 0]),
    "fanotify_init": (300, 262, errno.EPERM, [0xFFFF, 0]),
    "memfd_secret": (447, 447, errno.ENOSYS, [0xFFFF]),
    "personality": (135, 92, errno.EPERM, [0x0040000]),
}
column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
for name, (*numbers, expected, arguments) in calls.items():
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(numbers[column]), *[ctypes.c_long(a) for a in arguments])
    got = ctypes.get_errno()
    word = "held:" if result == -1 and got == expected else "ESCAPED:"
    print(word, name, result, os.strerror(got))
