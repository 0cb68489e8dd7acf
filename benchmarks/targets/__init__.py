"""One module per target: its docstring says what is measured and what the bare part is."""

from __future__ import annotations

from benchmarks import algomancy_etl
from benchmarks.model import Module
from benchmarks.targets import (
    a01,
    a02,
    g01,
    g02,
    l01,
    l02,
    l03,
    n01,
    r01,
    r02,
    s01,
    t01,
    t02,
    t03,
    t04,
    t05,
    t06,
    t07,
    t08,
    t09,
    t10,
    t11,
    t12,
    x01,
    x02,
)

MODULES: dict[str, Module] = {
    module.TARGET.key: module for module in (t01, t02, t03, t04, t05, t06, t07, t08, t09, t10, t11, t12)
}
"""What is measured when nothing is named."""
NAMED: dict[str, Module] = {
    module.TARGET.key: module
    for module in (a01, a02, g01, g02, algomancy_etl, l01, l02, l03, n01, r01, r02, s01, x01, x02)
}
"""What is measured only when it is named, or with ``--all``."""
