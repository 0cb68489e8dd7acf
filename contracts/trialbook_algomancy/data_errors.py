"""What cannot be read."""

from __future__ import annotations

from trialbook.errors import Invalid


class Unreadable(Invalid):
    """An upload or a document that cannot be read at all; ``detail`` is the reader's own text."""

    def __init__(self, detail: str) -> None:
        super().__init__("unreadable_data", detail)
