"""Stops its own first process and everything else it may signal, then waits to be forgotten: at most 20 seconds.

Only inside a process namespace of its own, where process 1 is not the machine's.
"""

import os
import signal
import time

if os.getppid() == 1 and os.getpid() < 10:
    for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGKILL, signal.SIGTERM):
        try:
            os.kill(1, number)
        except OSError as error:
            print("held:", error.strerror)
print("waiting", flush=True)
time.sleep(20)
print("ESCAPED: nobody ended me")
