"""Files without names: opened, unlinked, written to; at most 256 MiB."""

import os
import time

held = []
for number in range(32):
    held.append(os.open(f"g{number}", os.O_CREAT | os.O_RDWR))
    os.unlink(f"g{number}")
    written = 0
    while written < 8 << 20:
        try:
            written += os.write(held[-1], b"x" * (1 << 20))
        except OSError:
            time.sleep(10)  # what is full shall stay full
            raise
time.sleep(10)
print("ESCAPED: 256 MiB in unlinked files")
