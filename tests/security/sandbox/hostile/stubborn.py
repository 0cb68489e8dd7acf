"""Ignores every signal it can and goes on for at most 20 seconds."""

import signal
import time

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        continue
print("started", flush=True)
end = time.monotonic() + 20
while time.monotonic() < end:
    time.sleep(0.1)
print("ESCAPED: nobody ended me")
