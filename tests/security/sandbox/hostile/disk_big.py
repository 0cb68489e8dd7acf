"""One big file, at most 512 MiB; it is removed again."""

import os

with open("big", "wb", buffering=0) as file:
    for _ in range(512):
        file.write(b"x" * (1 << 20))
print("ESCAPED: 512 MiB in one file")
os.remove("big")
