"""The files of the bundled profiles load as the profiles say."""

from __future__ import annotations

import pytest

from trialbook.algomancy import load_profile
from trialbook_algomancy.conformance.example import conformance_files
from trialbook_algomancy.data import tables_from_json, tables_json
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.facilities.example import facility_files
from trialbook_algomancy.slotting.example import slotting_files
from trialbook_algomancy.tours.example import tour_files


def test_the_conformance_files() -> None:
    outcome = load(conformance_files(), load_profile("conformance").etl, "n")
    assert outcome.success
    assert {name: table.shape for name, table in outcome.tables.items()} == {
        "sku_data": (150, 9),
        "warehouse_layout": (200, 4),
        "employees": (5, 11),
        "inventory": (2000, 20),
        "multisheet.Steden": (6, 2),
        "multisheet.Klanten": (4, 2),
    }
    failures = [message for message in outcome.messages if message.severity != "INFO"]
    assert [(message.severity, message.code, message.table, message.column) for message in failures] == [
        ("ERROR", "CONVERSION_FAILED", "employees", "dates_with_typo"),
        ("WARNING", "DTYPE_MISMATCH", "employees", "dates_with_typo"),
    ]
    inventory = outcome.tables["inventory"]
    assert inventory["Lot\nSerial\nNumber"].isna().any()
    assert {str(dtype) for dtype in inventory.dtypes} == {"string", "float64"}
    assert tables_json(tables_from_json(tables_json(outcome.tables))) == tables_json(outcome.tables)


def test_every_conformance_file_is_required() -> None:
    files = dict(conformance_files())
    for name in list(files):
        rest = {other: content for other, content in files.items() if other != name}
        with pytest.raises(Unreadable, match=f"^Missing upload for '{name.rsplit('.', 1)[0]}'$"):
            load(rest, load_profile("conformance").etl, "n")


def test_a_column_outside_of_the_schema_fails_and_a_missing_one_passes() -> None:
    files = dict(conformance_files())
    header, rest = files["warehouse_layout.csv"].split(b"\n", 1)
    outcome = load(files | {"warehouse_layout.csv": header + b";more\n" + rest}, load_profile("conformance").etl, "n")
    assert not outcome.success
    assert [message.code for message in outcome.messages if message.severity == "CRITICAL"] == ["UNEXPECTED_COLUMN"]
    outcome = load(files | {"warehouse_layout.csv": b"slotid;x\na;1\n"}, load_profile("conformance").etl, "n")
    assert outcome.success


@pytest.mark.parametrize(
    ("name", "files", "shapes"),
    [
        ("slotting", slotting_files(), {"sku_data": (150, 9), "warehouse_layout": (1000, 4)}),
        ("facilities", facility_files(), {"customers": (60, 4), "sites": (15, 5)}),
        ("tours", tour_files(),
         {"dc": (1, 3), "stores": (25, 3), "otherlocations.customer": (10, 3), "otherlocations.xdock": (4, 3)}),
    ],
)  # fmt: skip
def test_the_examples_load_without_a_complaint(
    name: str, files: dict[str, bytes], shapes: dict[str, tuple[int, int]]
) -> None:
    outcome = load(files, load_profile(name).etl, "n")
    assert {table: frame.shape for table, frame in outcome.tables.items()} == shapes
    assert {message.severity for message in outcome.messages} == {"INFO"}


def test_either_file_of_a_warehouse_may_be_missing() -> None:
    files = slotting_files()
    etl = load_profile("slotting").etl
    items = files["sku_data.csv"].decode().splitlines()
    shorter = "\n".join(line.rsplit(";", 1)[0] for line in items).encode()
    outcome = load({"sku_data.csv": shorter}, etl, "n")
    assert outcome.success
    assert list(outcome.tables) == ["sku_data"]
    assert outcome.tables["sku_data"]["optimalslot"].isna().all()
