"""The command line: ``python -m benchmarks [--quick] [--json] [T1 T4 ...]``.

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
from benchmarks.targets import MODULES


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure T1 to T12 on a stack of their own.")
    parser.add_argument("--quick", action="store_true", help="each once, with smaller sizes")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("targets", nargs="*", metavar="T1", help="only these")
    found = parser.parse_args(arguments)
    unknown = [name for name in found.targets if name.upper() not in MODULES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(MODULES)}")
    return found


async def run(keys: Sequence[str], options: Options) -> list[Row]:
    """Measure one after another."""
    return [await run_one(module, options) for module in choose(MODULES, keys)]


def main() -> int:
    """Measure and print. Returns the exit code."""
    asked = parse()
    rows = uvloop.run(run(asked.targets, Options(quick=asked.quick, repeats=1 if asked.quick else 3)))
    print(as_json(rows) if asked.json else table(rows))
    return 1 if any(row.error is not None for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
