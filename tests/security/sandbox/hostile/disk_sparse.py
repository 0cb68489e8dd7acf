"""Files that are large in name only: 64 of 8 MiB, which a careless copy would write out in full."""

import os

for number in range(64):
    fd = os.open(f"s{number}", os.O_CREAT | os.O_WRONLY)
    os.ftruncate(fd, 8 << 20)
    os.close(fd)
