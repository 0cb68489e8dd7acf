"""What stops a command with a message instead of a traceback."""

from __future__ import annotations


class DeployError(Exception):
    """A condition the user can do something about; the text says what."""
