"""Leaves a daemon that writes for at most five seconds, to a file and to standard output, and exits when it does."""

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with open("written.txt", "a") as file:
                file.write("x")
            time.sleep(0.01)
        os.write(1, b"ESCAPED: survived\n")
    os._exit(0)
while not os.path.exists("written.txt"):
    time.sleep(0.01)
time.sleep(0.2)
