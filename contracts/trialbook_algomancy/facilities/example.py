"""An example network: customers clustered around towns, sites at random places."""

from __future__ import annotations

from random import Random

SEED = 2026
SIDE_KM = 100
TOWNS = 6


def facility_files(seed: int = SEED, customers: int = 60, sites: int = 15) -> dict[str, bytes]:
    """``customers.csv`` and ``sites.csv``; any half of the sites has about the capacity that is needed."""
    generator = Random(seed)  # noqa: S311 -- reproducible, not secret
    towns = [(generator.uniform(15, 85), generator.uniform(15, 85)) for _ in range(TOWNS)]
    lines, total = ["id;x;y;demand"], 0
    for number in range(1, customers + 1):
        x, y = generator.choice(towns)
        demand = generator.randint(5, 50)
        total += demand
        lines.append(f"C{number:03d};{_near(generator, x)};{_near(generator, y)};{demand}")
    typical = 2 * total / max(sites, 1)
    rows = ["id;x;y;capacity;fixed_cost"]
    for number in range(1, sites + 1):
        x, y = generator.uniform(0, SIDE_KM), generator.uniform(0, SIDE_KM)
        capacity, fixed = round(typical * generator.uniform(0.8, 1.6)), generator.randint(1500, 4000)
        rows.append(f"S{number:02d};{x:.1f};{y:.1f};{capacity};{fixed}")
    return {"customers.csv": _text(lines), "sites.csv": _text(rows)}


def _near(generator: Random, centre: float) -> float:
    return round(min(max(generator.gauss(centre, 6), 0), SIDE_KM), 1)


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
