"""Many empty files, at most 20,000, which stay for a while."""

import os
import time

for number in range(20_000):
    try:
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        time.sleep(10)
        raise
time.sleep(10)
print("ESCAPED: 20,000 files")
