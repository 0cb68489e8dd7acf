"""Starts at most 300 threads that live for ten seconds."""

import threading
import time

for _ in range(300):
    try:
        threading.Thread(target=time.sleep, args=(10,), daemon=True).start()
    except RuntimeError:
        time.sleep(0.01)
time.sleep(8)
