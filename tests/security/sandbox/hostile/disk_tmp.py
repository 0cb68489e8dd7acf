"""The temporary directory and shared memory: at most 256 MiB in a file, then 10,000 small ones."""

import os
import sys

place = sys.argv[1]
if sys.argv[2] == "big":
    with open(os.path.join(place, "big"), "wb", buffering=0) as file:
        file.writelines(b"x" * (1 << 20) for _ in range(256))
for number in range(10_000):
    os.close(os.open(os.path.join(place, f"t{number}"), os.O_CREAT | os.O_WRONLY))
print("ESCAPED: filled", place)
