"""Memory that no process owns: shared mappings, memfd, System V segments, at most 512 MiB."""

import ctypes
import mmap
import os
import time

libc = ctypes.CDLL(None, use_errno=True)
try:
    fd = os.memfd_create("hidden")
    for _ in range(64):
        os.write(fd, b"x" * (8 << 20))
    print("ESCAPED: 512 MiB in a memfd")
except OSError as error:
    print("held: memfd:", error.strerror)
segment = libc.shmget(0, 64 << 20, 0o600 | 0o1000)
print("held: shmget" if segment < 0 else "ESCAPED: a System V segment", flush=True)
if segment >= 0:
    libc.shmctl(segment, 0, None)
area = mmap.mmap(-1, 512 << 20)
for place in range(0, 512 << 20, 4096):
    area[place] = 1
time.sleep(10)  # what is taken shall stay taken
print("ESCAPED: 512 MiB in a shared mapping")
