"""Starts at most 300 threads that live for five seconds."""

import threading
import time

for _ in range(300):
    try:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
    except RuntimeError:
        time.sleep(0.01)
time.sleep(3)
