"""Output as fast as it is taken, at most 200 MB or five seconds."""

import os
import time

end = time.monotonic() + 5
line = b"x" * 999 + b"\n"
for _ in range(3200):
    if time.monotonic() > end:
        break
    os.write(1, line * 63)
os.write(2, b"ESCAPED: the flood is over\n")
