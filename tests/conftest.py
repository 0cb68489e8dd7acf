"""Fixtures shared by all test folders. Keep it minimal: a folder's own fixtures live in its own conftest."""

import signal

from hypothesis import HealthCheck, settings

# A program that a shell starts in the background ignores SIGINT, and so do those it starts: Ctrl-C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, and no limit on how long a machine that does other things takes over one of them.
# New ones are looked for with `pytest --hypothesis-profile=default`.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
