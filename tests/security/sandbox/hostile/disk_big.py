"""One big file, at most 512 MiB; it is removed again."""

import os

with open("big", "wb", buffering=0) as file:
    file.writelines(b"x" * (1 << 20) for _ in range(512))
print("ESCAPED: 512 MiB in one file")
os.remove("big")
