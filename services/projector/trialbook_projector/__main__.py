"""``python -m trialbook_projector``: run the projector."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from trialbook.errors import Refusal
from trialbook_projector.settings import from_environment


def main(arguments: list[str]) -> int:
    """Serve; returns the exit code."""
    try:
        settings = from_environment(os.environ)
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s %(message)s",
            stream=sys.stderr,
        )
        from trialbook_projector.app import serve

        asyncio.run(serve(settings))
    except Refusal as refusal:
        sys.stderr.write(f"{refusal.code}: {refusal.detail}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
