"""Forks as fast as it can; at most 300 processes, for at most five seconds."""

import os
import time

end = time.monotonic() + 5
reading, writing = os.pipe()
os.write(writing, b"x" * 300)  # a token for each process
os.set_blocking(reading, False)
while time.monotonic() < end:
    try:
        if not os.read(reading, 1):
            break
        os.fork()
    except BlockingIOError as error:
        if error.filename is None and "fork" not in str(error):
            time.sleep(0.01)
