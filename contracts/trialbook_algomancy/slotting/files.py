"""The files of a warehouse. Either may be missing, and what is wrong with one is reported without stopping the load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trialbook_algomancy.etl.messages import Message
from trialbook_algomancy.schemas import Column, EtlConfig, Schema

ITEM_COLUMNS = (
    Column("itemid", primary_key=True),
    Column("sku"),
    Column("description"),
    Column("category"),
    Column("daily_picks", "int64"),
    Column("volume_cm3", "float64"),
    Column("weight_kg", "float64"),
    Column("currentslot"),
    Column("optimalslot", optional=True),
)
SLOT_COLUMNS = (Column("slotid", primary_key=True), Column("x", "float64"), Column("y", "float64"), Column("zone"))


def fill_optional(tables: Any, declared: Any) -> Iterable[Message]:
    """Add the optional columns that a file did not have. Imported late: who only asks for names needs no pandas."""
    from trialbook_algomancy.etl.transform import FillOptional

    return FillOptional()(tables, declared)


etl = EtlConfig(
    schemas=(Schema("sku_data", "csv", ITEM_COLUMNS), Schema("warehouse_layout", "csv", SLOT_COLUMNS)),
    transformers=(fill_optional,),
)
