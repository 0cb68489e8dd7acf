"""Command line of the generators: ``python -m trialbook_algomancy.generate --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trialbook_algomancy.conformance.example import conformance_files
from trialbook_algomancy.facilities.example import facility_files
from trialbook_algomancy.slotting.example import slotting_files
from trialbook_algomancy.tours.example import tour_files

_EPILOG = """\
The same options always give the same data.

examples:
  the files of the slotting example
    python -m trialbook_algomancy.generate slotting --out data
  15,000 articles and 100,000 slots
    python -m trialbook_algomancy.generate slotting --scale 100 --out data
  a tour of 200 stores
    python -m trialbook_algomancy.generate tours --stores 200 --seed 7 --out data
  80 customers and 20 sites
    python -m trialbook_algomancy.generate facilities --customers 80 --sites 20 --out data

then upload them
    curl -s "$U/algomancy/api/v1/sessions/main/etl" -F dataset_name=mine -F files=@data/stores.csv

exit codes: 0 done, 1 not written, 2 wrong usage
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files; returns the exit code."""
    options = vars(_parser().parse_args(argv))
    make, folder = options.pop("make"), options.pop("out")
    options.pop("profile")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in make(**options).items():
            (folder / name).write_bytes(content)
            sys.stdout.write(f"{folder / name}\n")
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trialbook_algomancy.generate",
        description="Generate the files of a dataset for one of the bundled profiles.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    profiles = parser.add_subparsers(dest="profile", required=True, metavar="PROFILE")
    sizes = {
        "slotting": (slotting_files, {"scale": (1, "times 150 articles and 1,000 slots")}),
        "conformance": (conformance_files, {}),
        "tours": (tour_files, {"stores": (25, ""), "customers": (10, ""), "xdocks": (4, "cross docks")}),
        "facilities": (facility_files, {"customers": (60, ""), "sites": (15, "")}),
    }
    for name, (make, options) in sizes.items():
        one = profiles.add_parser(name, help=f"the files of the profile {name}")
        one.set_defaults(make=make)
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
        one.add_argument("--seed", type=int, default=2026, help="default 2026, that of the examples")
        for option, (default, what) in options.items():
            text = f"{what or 'how many'}; default {default}"
            one.add_argument(f"--{option}", type=_positive, default=default, metavar="N", help=text)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
