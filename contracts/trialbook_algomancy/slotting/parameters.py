"""What a warehouse dataset may declare itself: which items count."""

from __future__ import annotations

from typing import Any

from trialbook.algomancy import Integer, MultiEnum, Parameter, ParameterSet
from trialbook_algomancy.reading import texts


def warehouse_parameters(data: Any) -> ParameterSet | None:
    """``category_filter`` over the categories present and ``min_daily_picks``; None for data of another kind."""
    skus = data.tables.get("sku_data")
    if skus is None:
        return None
    present = texts(skus["category"]) if "category" in skus.columns else []
    categories = sorted({category for category in present if category is not None})
    filters: list[Parameter] = [MultiEnum("category_filter", categories, default=categories)] if categories else []
    return ParameterSet("Warehouse Data", (*filters, Integer("min_daily_picks", default=0, minimum=0)))
