"""Command line of the dataset generator and validator: ``python -m trialbook_marketplace.generate --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trialbook.errors import Refusal
from trialbook_marketplace.generator import MAX_CUSTOMERS, Recipe, generate
from trialbook_marketplace.manipulation import MANIPULATIONS, Manipulation
from trialbook_marketplace.validator import Report, validate_folder
from trialbook_marketplace.vocabulary import THEMES
from trialbook_marketplace.writer import write_dataset

_EPILOG = """\
A dataset has N customers and 3N businesses. Three businesses carry everything a customer wants; two of them offer
the amenities the customer requires, one does not. The same theme, N, seed and options always give the same bytes.

examples:
  make a set of 10 customers and 30 businesses in data/mexican_10_30
    python -m trialbook_marketplace.generate mexican 10 --seed 7 --out data
  one customer, three businesses whose ratings fix the display order
    python -m trialbook_marketplace.generate bakery 1 --rating-ladder --out data --name position_bias
  a manipulated description, and its control
    python -m trialbook_marketplace.generate mexican 1 --manipulation authority --target business_0002 --out data \\
      --name authority
    python -m trialbook_marketplace.generate mexican 1 --manipulation control --out data --name control
  check a folder
    python -m trialbook_marketplace.generate --validate data/mexican_10_30

exit codes: 0 done or valid, 1 refused or invalid, 2 wrong usage
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        if given.validate is not None:
            return _report(validate_folder(given.validate), str(given.validate))
        if given.theme is None or given.customers is None or given.out is None:
            parser.error("THEME, N and --out are required (or --validate DIR)")
        recipe = _recipe(given)
        folder: Path = given.out / (given.name or recipe.name)
        write_dataset(generate(recipe), folder)
        return _report(validate_folder(folder), str(folder))
    except (Refusal, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trialbook_marketplace.generate",
        description="Generate or validate a marketplace dataset.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("theme", metavar="THEME", nargs="?", choices=list(THEMES), help=f"vocabulary: {', '.join(THEMES)}")
    add("customers", metavar="N", nargs="?", type=int, help=f"number of customers, 1 to {MAX_CUSTOMERS}")
    add("--seed", type=int, default=0, help="integer seed (default 0)")
    add("--out", type=Path, metavar="DIR", help="folder in which the dataset folder is created")
    add("--name", help="name of the dataset folder (default THEME_N_3N)")
    add("--shuffle-within-trio", action="store_true", help="any of the three may lack the amenity, not the third")
    add("--rating-ladder", action="store_true", help="ratings 1.0, 0.999999999, 0.999999998 within each three")
    add("--manipulation", choices=list(MANIPULATIONS), help="text appended to one business description")
    add("--target", default="business_0001", help="the manipulated business (default business_0001)")
    add("--validate", type=Path, metavar="DIR", help="check a dataset folder instead of making one")
    return parser


def _recipe(given: argparse.Namespace) -> Recipe:
    return Recipe(
        theme=given.theme,
        customers=given.customers,
        seed=given.seed,
        shuffle_within_trio=given.shuffle_within_trio,
        rating_ladder=given.rating_ladder,
        manipulation=Manipulation(given.manipulation, given.target) if given.manipulation else None,
    )


def _report(report: Report, where: str) -> int:
    for problem in report.problems:
        sys.stderr.write(f"problem: {problem}\n")
    verdict = "valid" if report.passed else f"{len(report.problems)} problem(s)"
    sys.stdout.write(
        f"{where}: {verdict}; {report.customers} customers, {report.businesses} businesses; "
        f"{report.cheapest_misses} customer(s) would miss an amenity by taking the cheapest\n"
    )
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
