"""Fixtures shared by all test folders. Keep it minimal: a folder's own fixtures live in its own conftest."""

import signal

# A program that a shell starts in the background ignores SIGINT, and so do those it starts: Ctrl-C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
