"""Takes memory piece by piece, at most 1 GiB, and keeps for a while what it got."""

import time

held = []
try:
    for _ in range(256):
        held.append(bytearray(b"x") * (4 << 20))
except MemoryError:
    time.sleep(10)
    raise
print("ESCAPED: 1 GiB")
