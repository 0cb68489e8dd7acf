"""The conformance profile, its files, and the command that writes files."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trialbook.algomancy import Integer
from trialbook.algomancy.testing import try_algorithm
from trialbook_algomancy.conformance import profile, slow
from trialbook_algomancy.conformance.example import conformance_files
from trialbook_algomancy.data_errors import Unreadable
from trialbook_algomancy.etl.load import load
from trialbook_algomancy.generate import main


def test_slow_waits_and_says_how_far_it_is() -> None:
    trial = try_algorithm(slow, {}, {"duration": 4}, kpis=profile.kpis)
    assert trial.progress == [25.0, 50.0, 75.0, 100.0]
    assert trial.result is not None
    assert list(trial.result) == ["scenario_id", "completed_at"]
    assert slow.parameters.parameters == (Integer("duration", default=1, minimum=1, maximum=60),)
    assert try_algorithm(slow, {}).progress == [100.0]


def test_the_delay_is_drawn_for_every_run_and_stays_within_its_range() -> None:
    moments = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in range(60)]
    values = [try_algorithm(slow, {}, kpis=profile.kpis, now=moment).kpis["Delay"] for moment in moments]
    assert len(set(values)) == 60
    assert all(value is not None and 1000 <= value < 1500 for value in values)
    assert try_algorithm(slow, {}, kpis=profile.kpis, now=moments[0]).kpis["Delay"] == values[0]


def test_the_five_files_load_and_the_bad_date_is_reported() -> None:
    outcome = load(conformance_files(), profile.etl, "five")
    assert outcome.record.success
    assert {name: table.shape for name, table in outcome.tables.items()} == {
        "sku_data": (150, 9),
        "warehouse_layout": (200, 4),
        "employees": (5, 11),
        "inventory": (2000, 20),
        "multisheet.Steden": (6, 2),
        "multisheet.Klanten": (4, 2),
    }
    codes = {(message.code, message.column) for message in outcome.record.messages if message.code}
    assert ("CONVERSION_FAILED", "dates_with_typo") in codes
    assert {column for _, column in codes} == {"dates_with_typo"}
    assert outcome.tables["inventory"]["Lot\nSerial\nNumber"].isna().any()


def test_a_missing_file_and_an_unknown_column() -> None:
    files = conformance_files()
    with pytest.raises(Unreadable, match="Missing upload for 'employees'"):
        load({name: content for name, content in files.items() if name != "employees.json"}, profile.etl, "four")
    layout = files["warehouse_layout.csv"].decode().splitlines()
    wider = "\n".join(line + (";height" if line.startswith("slotid") else ";3") for line in layout).encode()
    outcome = load(files | {"warehouse_layout.csv": wider}, profile.etl, "wide")
    assert not outcome.record.success
    narrower = "\n".join(line.rpartition(";")[0] for line in layout).encode()
    assert load(files | {"warehouse_layout.csv": narrower}, profile.etl, "narrow").record.success


@pytest.mark.parametrize(
    ("argv", "names", "lines"),
    [
        (["slotting", "--scale", "2"], ["sku_data.csv", "warehouse_layout.csv"], 301),
        (
            ["conformance"],
            ["employees.json", "inventory.xlsx", "multisheet.xlsx", "sku_data.csv", "warehouse_layout.csv"],
            None,
        ),
        (["tours", "--stores", "7", "--seed", "3"], ["dc.xlsx", "otherlocations.xlsx", "stores.csv"], None),
        (["facilities", "--customers", "8", "--sites", "3"], ["customers.csv", "sites.csv"], 9),
    ],
)
def test_the_command_writes_the_files(argv: list[str], names: list[str], lines: int | None, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert main([*argv, "--out", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == names
    if lines is not None:
        assert (folder / names[0]).read_text().count("\n") == lines


def test_the_command_explains_itself_and_refuses_nonsense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "trialbook_algomancy.generate"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=100).stdout
    assert "examples:" in shown
    for wrong in ([], ["unknown"], ["slotting"], ["slotting", "--out", "x", "--scale", "0"]):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2
    (tmp_path / "file").write_text("")
    assert main(["slotting", "--out", str(tmp_path / "file")]) == 1
    assert "error:" in capsys.readouterr().err
