"""Asks for more rights: setuid, set-user-id programs, devices, roots, mounts, the switches of the kernel."""

import ctypes
import os
import shutil
import stat
import subprocess

libc = ctypes.CDLL(None, use_errno=True)


def attempt(what, action):
    try:
        action()
        print("ESCAPED:", what)
    except OSError as error:
        print("held:", what, error.strerror)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def program(path):
    result = subprocess.run(path, capture_output=True, stdin=subprocess.DEVNULL, timeout=5, text=True)
    if result.returncode != 0 or "uid=0" not in result.stdout:
        raise OSError(result.returncode, "refused")


if os.geteuid() != 0:
    attempt("setuid 0", lambda: os.setuid(0))
    attempt("setgid 0", lambda: os.setgid(0))
    attempt("setgroups", lambda: os.setgroups([0]))
    attempt("setresuid", lambda: os.setresuid(0, 0, 0))
    shutil.copy("/usr/bin/id", "id")
    os.chmod("id", 0o6755)
    attempt("a set-user-id copy", lambda: program(["./id"]))
    attempt("su", lambda: program(["su", "-c", "id"]))
else:
    print("ESCAPED: I am root")
attempt("character device", lambda: os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)))
attempt("block device", lambda: os.mknod("block", stat.S_IFBLK | 0o666, os.makedev(7, 0)))
attempt("chroot", lambda: os.chroot("."))
attempt("pivot_root", lambda: check(libc.syscall({True: 155}.get(os.uname().machine == "x86_64", 41), b".", b".")))
attempt("mount", lambda: check(libc.mount(b"none", b"inputs", b"tmpfs", 0, None)))
attempt("remount", lambda: check(libc.mount(None, b"/", None, 32 | 4096, None)))
attempt("umount", lambda: check(libc.umount2(b"inputs", 2)))
for path in (
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/kernel/hostname",
):
    attempt(path, lambda path=path: os.close(os.open(path, os.O_WRONLY)))
for path in (
    "/dev/kmsg",
    "/dev/mem",
    "/dev/vda",
    "/dev/sda",
    "/dev/fuse",
    "/dev/kvm",
    "/dev/userfaultfd",
    "/dev/loop0",
):
    attempt(path, lambda path=path: os.close(os.open(path, os.O_RDWR)))
attempt("hostname", lambda: check(libc.sethostname(b"hostile", 7)) if os.geteuid() else check(-1))
attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
try:
    with open("/proc/self/status") as file:
        status = file.read()
except OSError:
    status = ""
for line in status.splitlines():
    name, _, value = line.partition(":")
    if name in {"CapPrm", "CapEff", "CapAmb"} and int(value, 16):
        print("ESCAPED: I have", line.strip())
