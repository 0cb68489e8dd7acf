"""The example dataset: 150 articles in a warehouse of 1,000 slots; the same seed gives the same bytes."""

from __future__ import annotations

from math import exp, log
from random import Random

from trialbook_algomancy.slotting.algorithms import nearest_first
from trialbook_algomancy.slotting.warehouse import Warehouse

SEED = 2026
ROWS = 25
AISLES = 10
ZONES = "ABCD"
CATEGORIES = (  # category, prefix of its articles, how many, number of the first slot
    ("Electronics", "ELC", 30, 1),
    ("Beverages", "BEV", 25, 751),
    ("Grocery", "GRO", 30, 251),
    ("Personal Care", "PCA", 30, 501),
    ("Pet Supplies", "PET", 35, 31),
)
WORDS = {
    "Electronics": ("Charger", "Cable", "Headset", "Mouse", "Battery Pack", "Lamp"),
    "Beverages": ("Orange Juice", "Cola", "Green Tea", "Water", "Coffee"),
    "Grocery": ("Rice", "Pasta", "Tomato Sauce", "Oats", "Olive Oil", "Honey"),
    "Personal Care": ("Shampoo", "Soap", "Toothpaste", "Lotion", "Razor", "Deodorant"),
    "Pet Supplies": ("Cat Food", "Dog Food", "Litter", "Leash", "Chew Toy", "Bird Seed", "Brush"),
}
QUALITIES = ("Classic", "Compact", "Family", "Fresh", "Premium", "Value")
SKU_COLUMNS = "itemid;sku;description;category;daily_picks;volume_cm3;weight_kg;currentslot;optimalslot"


def slotting_files(seed: int = SEED, scale: int = 1) -> dict[str, bytes]:
    """``sku_data.csv`` and ``warehouse_layout.csv``: UTF-8, ``;``, header line, line feeds.

    ``scale`` times 150 articles and 1,000 slots.
    """
    slot_count = len(ZONES) * ROWS * AISLES * scale
    layout = [(_slot(n), *_place(n, scale)) for n in range(1, slot_count + 1)]
    rows = _articles(Random(seed), scale)  # noqa: S311 -- reproducible, not secret
    ids, slots = [row[0] for row in rows], [line[0] for line in layout]
    warehouse = Warehouse(
        items=ids, picks=[int(row[4]) for row in rows], current=[row[7] for row in rows], slots=slots,
        x=[line[1] for line in layout], y=[line[2] for line in layout], zones=[line[3] for line in layout],
    )  # fmt: skip
    optimal = nearest_first(warehouse, warehouse.distances(0.0, 0.0), respect_zones=False)
    skus = [";".join([*row, optimal[row[0]] or ""]) for row in rows]
    lines = [f"{slot};{x};{y};{zone}" for slot, x, y, zone in layout]
    return {
        "sku_data.csv": _text([SKU_COLUMNS, *skus]),
        "warehouse_layout.csv": _text(["slotid;x;y;zone", *lines]),
    }


def _articles(generator: Random, scale: int) -> list[list[str]]:
    """The columns of ``sku_data`` up to the current slot, as text."""
    rows: list[list[str]] = []
    for category, prefix, count, first in CATEGORIES:
        for number in range(count * scale):
            picks = round(exp(generator.gauss(3.8, 0.55)))
            volume, weight = _log_uniform(generator, 15, 8500), _log_uniform(generator, 0.002, 8.4)
            name = f"{generator.choice(QUALITIES)} {generator.choice(WORDS[category])}"
            rows.append([
                str(1001 + len(rows)), f"{prefix}{number + 1:03d}", name, category, str(min(max(picks, 9), 142)),
                f"{volume:.1f}", str(round(weight, 3)), _slot((first - 1) * scale + 1 + number),
            ])  # fmt: skip
    return rows


def _place(number: int, scale: int) -> tuple[float, float, str]:
    """Coordinates in m, and the zone, of the slot with that number."""
    column, row = divmod(number - 1, ROWS)
    block, aisle = divmod(column, AISLES * scale)
    return 1.0 + 23 * scale * block + 2 * aisle, 1.0 + 3 * row, f"Zone {ZONES[block]}"


def _slot(number: int) -> str:
    return f"SLOT-{number:04d}"


def _log_uniform(generator: Random, low: float, high: float) -> float:
    return exp(generator.uniform(log(low), log(high)))


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
