"""The command line: ``python -m benchmarks [--quick] [--json] [--all] [T1 T4 ...]``.

Exit code 0 when everything could be measured, met or not; 1 when a benchmark failed; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import uvloop

from benchmarks.harness import choose, run_one
from benchmarks.model import Options, Row
from benchmarks.report import as_json, table
from benchmarks.targets import MODULES, NAMED

EVERY = MODULES | NAMED


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure T1 to T12, or what is named.")
    parser.add_argument("--quick", action="store_true", help="each once, with smaller sizes")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--all", action="store_true", help=f"also those that have to be named: {', '.join(NAMED)}")
    parser.add_argument("targets", nargs="*", metavar="T1", help=f"only these, of {', '.join(EVERY)}")
    found = parser.parse_args(arguments)
    unknown = [name for name in found.targets if name.upper() not in EVERY]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(EVERY)}")
    if found.all and found.targets:
        parser.error("give names or --all, not both")
    return found


def keys(asked: argparse.Namespace) -> list[str]:
    """What the command line asks for: T1 to T12 unless it says otherwise."""
    return list(EVERY if asked.all else asked.targets or MODULES)


async def run(wanted: Sequence[str], options: Options) -> list[Row]:
    """Measure one after another."""
    return [await run_one(module, options) for module in choose(EVERY, wanted)]


def main() -> int:
    """Measure and print. Returns the exit code."""
    asked = parse()
    rows = uvloop.run(run(keys(asked), Options(quick=asked.quick, repeats=1 if asked.quick else 3)))
    print(as_json(rows) if asked.json else table(rows))
    return 1 if any(row.error is not None for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
