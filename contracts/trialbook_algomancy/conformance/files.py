"""The five files of the conformance profile, all required."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Column, EtlConfig, Group, Schema

ITEM_COLUMNS = (
    Column("itemid"),
    Column("sku"),
    Column("description"),
    Column("category"),
    Column("daily_picks", "int64"),
    Column("volume_cm3", "float64"),
    Column("weight_kg", "float64"),
    Column("currentslot"),
    Column("optimalslot"),
)
SLOT_COLUMNS = (Column("slotid"), Column("x", "float64"), Column("y", "float64"), Column("zone"))
EMPLOYEE_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("email"),
    Column("joined_date", "datetime64[ns]"),
    Column("last_login", "datetime64[ns]"),
    Column("dates_with_typo", "datetime64[ns]"),
    Column("is_active", "boolean"),
    Column("age", "int64"),
    Column("attributes.department"),
    Column("attributes.position"),
    Column("attributes.skills"),
)
INVENTORY_TEXTS = (
    "Branch",
    "Location \nType P/S",
    "Location",
    "Item\nNumber",
    "Item\nDescription",
    "Item\nDescription\n2",
    "Lot\nSerial\nNumber",
    "IB\nSetup\nStatus",
    "Technical\nStatus",
    "Stocking\nType",
    "Line\nType",
    "Master\nPlannings\nFamily",
    "Inventory\nCost\nSelector",
    "GL\nCategory",
    "UOM\nPrimary",
)
INVENTORY_NUMBERS = (
    "Unit\nCost",
    "Quantity\non Hand",
    "Inventory\nValue",
    "Safety\nStock",
    "Value \nBased on \nSafety Stock",
)
INVENTORY_COLUMNS = (
    *(Column(name) for name in INVENTORY_TEXTS),
    *(Column(name, "float64") for name in INVENTORY_NUMBERS),
)
CITY_COLUMNS = (Column("Country"), Column("City"))
CLIENT_COLUMNS = (Column("ID", "int64"), Column("Naam"))

SCHEMAS = (
    Schema("sku_data", "csv", ITEM_COLUMNS),
    Schema("warehouse_layout", "csv", SLOT_COLUMNS),
    Schema("employees", "json", EMPLOYEE_COLUMNS),
    Schema("inventory", "xlsx", INVENTORY_COLUMNS, sheet=1),
    Schema("multisheet", "xlsx", groups=(Group("Steden", CITY_COLUMNS), Group("Klanten", CLIENT_COLUMNS))),
)


def not_empty(tables: Any, declared: Any) -> Iterable[Message]:
    """No table is empty. Imported late, as below: who only asks for names needs no pandas."""
    from trialbook_algomancy.etl.checks import NotEmpty

    return NotEmpty()(tables, declared)


def nothing_unknown(tables: Any, declared: Any) -> Iterable[Message]:
    """Every table and column is in a schema, or the load fails."""
    from trialbook_algomancy.etl.checks import SchemaMatches

    critical = Severity.CRITICAL
    return SchemaMatches(no_schema=critical, unexpected_column=critical)(tables, declared)


etl = EtlConfig(
    schemas=SCHEMAS,
    required=frozenset(schema.file_name for schema in SCHEMAS),
    checks=(not_empty, nothing_unknown),
)
