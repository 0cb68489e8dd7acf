"""Asks for namespaces of its own, in every way there is. Argument: number of the system call clone."""

import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
flags = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000}
flags |= {"uts": 0x4000000, "cgroup": 0x2000000, "time": 0x80}
clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]


def attempt(what, result):
    print("held:" if result < 0 else "ESCAPED:", what, os.strerror(ctypes.get_errno()) if result < 0 else "")


for name, flag in flags.items():
    attempt(f"unshare {name}", libc.unshare(flag))
    if name != "time":
        child = libc.syscall(ctypes.c_long(clone), ctypes.c_long(flag | 17), 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        attempt(f"clone {name}", child)
        child = libc.syscall(ctypes.c_long(clone), ctypes.c_long(flag | 0x10000000 | 17), 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        attempt(f"clone user and {name}", child)
words = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
child = libc.syscall(ctypes.c_long(435), ctypes.byref(words), ctypes.c_long(ctypes.sizeof(words)))
if child == 0:
    os._exit(0)
attempt("clone3 user", child)
for name in ("user", "mnt", "net"):
    try:
        fd = os.open(f"/proc/self/ns/{name}", os.O_RDONLY)
    except OSError as error:
        print("held: ns file", name, error.strerror)
        continue
    attempt(f"setns {name}", libc.setns(fd, 0))
