"""The projector's command line.

``python -m trialbook_projector``                     run the projector
``python -m trialbook_projector rebuild [--check]``   rebuild the tables, compare and swap (``--check``: compare only)
``python -m trialbook_projector build FILE FACTS SIGNALS``   build a file up to two positions (used by ``rebuild``)
"""

from __future__ import annotations

import logging
import os
import sys

import uvloop

from trialbook.errors import Invalid, Refusal
from trialbook_projector import once, without_pandas
from trialbook_projector.settings import Settings, from_environment


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code: 1 refused, 2 a rebuild differs, 78 (``EX_CONFIG``) wrong settings."""
    without_pandas.install()
    try:
        settings = from_environment(os.environ)
    except Refusal as refusal:
        sys.stderr.write(f"{refusal.code}: {refusal.detail}\n")
        return os.EX_CONFIG
    try:
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s %(message)s",
            stream=sys.stderr,
        )
        return uvloop.run(_run(settings, arguments))
    except Refusal as refusal:
        sys.stderr.write(f"{refusal.code}: {refusal.detail}\n")
        return 1


async def _run(settings: Settings, arguments: list[str]) -> int:
    match arguments:
        case []:
            from trialbook_projector import app  # FastStream is imported by the service only

            await app.serve(settings)
            return 0
        case ["rebuild"] | ["rebuild", "--check"]:
            identical, report = await once.rebuild(settings, check="--check" in arguments)
            sys.stdout.write(report + "\n")
            return 0 if identical else 2
        case ["build", path, facts, signals] if facts.isdecimal() and signals.isdecimal():
            await once.build_file(settings, path, int(facts), int(signals))
            return 0
    raise Invalid("usage", (__doc__ or "").strip())


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    # Everything is closed. The interpreter's own tidying would only make DuckDB's bindings list objects of theirs that
    # the interpreter has not freed.
    os._exit(code)
