"""Eight children take 48 MiB each: no single one of them is large."""

import os
import time

for _ in range(8):
    if os.fork() == 0:
        held = bytearray(b"x") * (48 << 20)
        time.sleep(10)
        os._exit(0)
for _ in range(8):
    os.wait()
print("ESCAPED: 384 MiB in eight processes")
