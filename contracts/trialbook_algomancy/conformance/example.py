"""Files for the conformance profile, with the faults that clients of it expect to be reported."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from trialbook_algomancy.conformance.files import INVENTORY_NUMBERS, INVENTORY_TEXTS
from trialbook_algomancy.workbooks import workbook

SEED = 2026
ITEMS, SLOTS, STOCK = 150, 200, 2000
CATEGORIES = ("Beverages", "Electronics", "Grocery", "Personal Care", "Pet Supplies")
CITIES = (
    ("NL", "Utrecht"), ("NL", "Arnhem"), ("BE", "Gent"), ("DE", "Köln"), ("FR", "Lille"), ("DK", "Århus"),
)  # fmt: skip
CLIENTS = ((1, "Jansen"), (2, "De Vries"), (3, "Müller"), (4, "Lefèvre"))
NO_DATE = "202e5-02-06"
_BEGIN = datetime(2025, 1, 1, 8, tzinfo=UTC)


def conformance_files(seed: int = SEED) -> dict[str, bytes]:
    """The five files by name."""
    generator = Random(seed)  # noqa: S311 -- reproducible, not secret
    return {
        "sku_data.csv": _csv("itemid;sku;description;category;daily_picks;volume_cm3;weight_kg;currentslot;optimalslot",
                             [_item(generator, number) for number in range(1, ITEMS + 1)]),
        "warehouse_layout.csv": _csv("slotid;x;y;zone", [_slot(generator, n) for n in range(1, SLOTS + 1)]),
        "employees.json": json.dumps([_employee(generator, n) for n in range(1, 6)], indent=2).encode(),
        "inventory.xlsx": workbook({
            "Cover": [["Inventory"], ["made up"]],
            "Data": [[*INVENTORY_TEXTS, *INVENTORY_NUMBERS], *(_stock(generator, n) for n in range(1, STOCK + 1))],
        }),
        "multisheet.xlsx": workbook({
            "Steden": [("Country", "City"), *CITIES],
            "Klanten": [("ID", "Naam"), *CLIENTS],
        }),
    }  # fmt: skip


def _csv(header: str, rows: list[list[Any]]) -> bytes:
    return "\n".join([header, *(";".join(map(str, row)) for row in rows), ""]).encode()


def _item(generator: Random, number: int) -> list[Any]:
    volume, weight = generator.uniform(15, 8500), generator.uniform(0.01, 8)
    current, optimal = (f"SLOT-{generator.randint(1, SLOTS):03d}" for _ in range(2))
    return [
        f"SKU-{number:04d}", f"P{number:05d}", f"Product {number}", generator.choice(CATEGORIES),
        generator.randint(1, 150), f"{volume:.1f}", f"{weight:.3f}", current, optimal,
    ]  # fmt: skip


def _slot(generator: Random, number: int) -> list[Any]:
    x, y = generator.uniform(0, 50), generator.uniform(0, 20)
    return [f"SLOT-{number:03d}", f"{x:.2f}", f"{y:.2f}", f"Zone {generator.choice('ABCD')}"]


def _employee(generator: Random, number: int) -> dict[str, Any]:
    joined = _BEGIN - timedelta(days=generator.randint(100, 4000))
    employee: dict[str, Any] = {
        "id": f"E{number:03d}",
        "name": f"Employee {number}",
        "email": f"employee{number}@example.com",
        "joined_date": joined.strftime("%Y-%m-%d"),
        "last_login": (_BEGIN + timedelta(minutes=generator.randint(0, 100_000))).strftime("%Y-%m-%dT%H:%M:%S"),
        "is_active": generator.choice([True, False]),
        "age": generator.randint(20, 65),
        "attributes": {
            "department": generator.choice(["Logistics", "Sales", "IT"]),
            "position": generator.choice(["Analyst", "Manager", "Picker"]),
            "skills": generator.sample(["python", "sql", "forklift", "excel"], 2),
        },
    }
    if number in {2, 4}:
        employee["dates_with_typo"] = NO_DATE if number == 2 else joined.strftime("%Y-%m-%d")
    return employee


def _stock(generator: Random, number: int) -> list[Any]:
    cost, quantity, safety = round(generator.uniform(0.5, 90), 2), generator.randint(0, 500), generator.randint(0, 50)
    lot = f"LOT{number:06d}" if generator.random() < 0.5 else None
    return [
        "1001", generator.choice("PS"), f"A-{number % 40:02d}-{number % 7}", f"{number:07d}", f"Part {number}",
        generator.choice(["blue", "steel", ""]) or None, lot, "N", generator.choice(["A", "B"]), "P", "S",
        f"F{number % 9}", "7", f"IN{number % 4}0", "EA", cost, quantity, round(cost * quantity, 2), safety,
        round(cost * safety, 2),
    ]  # fmt: skip
