"""An example of a tour: one distribution centre, stores, customers and cross docks at random places."""

from __future__ import annotations

from random import Random

from trialbook_algomancy.workbooks import workbook

SEED = 2026
SIDE_KM = 100


def tour_files(seed: int = SEED, stores: int = 25, customers: int = 10, xdocks: int = 4) -> dict[str, bytes]:
    """``dc.xlsx``, ``stores.csv`` and ``otherlocations.xlsx`` with the sheets ``customer`` and ``xdock``.

    Ids count through all files; coordinates are in km, with one decimal.
    """
    generator = Random(seed)  # noqa: S311 -- reproducible, not secret
    rows = [
        (number, round(generator.uniform(0, SIDE_KM), 1), round(generator.uniform(0, SIDE_KM), 1))
        for number in range(1, 2 + stores + customers + xdocks)
    ]
    lines = ["ID;x;y", *(f"{id_};{x};{y}" for id_, x, y in rows[1 : 1 + stores])]
    header = ("ID", "x", "y")
    others = {
        "customer": [header, *rows[1 + stores : 1 + stores + customers]],
        "xdock": [header, *rows[1 + stores + customers :]],
    }
    return {
        "dc.xlsx": workbook({"dc": [header, rows[0]]}),
        "stores.csv": ("\n".join(lines) + "\n").encode(),
        "otherlocations.xlsx": workbook(others),
    }
