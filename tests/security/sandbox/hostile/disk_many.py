"""Many empty files, at most 20,000."""

import os

for number in range(20_000):
    os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))
print("ESCAPED: 20,000 files")
