"""SQLite export: verified, complete, and the same analytics when read back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.marketplace.builders import market, run, send
from trialbook.errors import Invalid
from trialbook_marketplace.analytics import analyse
from trialbook_marketplace.datasets import bundled_root, load_dataset
from trialbook_marketplace.export import ExportFailed, export_filename, export_sqlite, read_sqlite
from trialbook_marketplace.protocol.messages import TextMessage
from trialbook_marketplace.rows import History


def analysis(history: History) -> dict[str, Any]:
    return analyse(history.agents, history.actions, history.logs)


@pytest.mark.parametrize("name", ["mexican_3_9", "mexican_33_99"])
def test_read_back_equals_what_was_written(name: str, tmp_path: Path) -> None:
    _, history = run(load_dataset(bundled_root() / name), search_algorithm="lexical")
    path = tmp_path / "run #1?.db"
    counts = export_sqlite(path, history)
    assert counts == {"agents": len(history.agents), "actions": len(history.actions), "logs": len(history.logs)}
    again = read_sqlite(path)
    assert again == history
    assert analysis(again) == analysis(history)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_tables(tmp_path: Path) -> None:
    made, history = market()
    made.log("info", "hello")
    history.agents[1]["embedding"] = b"\x00\x00\x80?"
    export_sqlite(tmp_path / "x.db", history)
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(agents)")]
        agents = database.execute("SELECT rowid, id, created_at, agent_embedding FROM agents").fetchall()
        assert columns == ["id", "created_at", "data", "agent_embedding"]
        assert agents == [
            (1, "c1", "2026-01-01T00:00:00.000000+00:00", None),
            (2, "b1", "2026-01-01T00:00:00.000000+00:00", b"\x00\x00\x80?"),
        ]
        assert database.execute("SELECT count(*) FROM logs").fetchone() == (1,)
    assert read_sqlite(tmp_path / "x.db") == history


def test_refused_characters_are_removed(tmp_path: Path) -> None:
    made, history = market()
    for text in ("a\0b", "back\\u0000slash", "half \ud800 pair", "\\\0"):
        made.execute("c1", send("c1", "b1", TextMessage(text)))
    made.log("info", "x\0y", {"k\0": ["\0"]})
    export_sqlite(tmp_path / "x.db", history)
    again = read_sqlite(tmp_path / "x.db")
    texts = [row["data"]["request"]["parameters"]["message"]["content"] for row in again.actions]
    assert texts == ["ab", "back\\u0000slash", "half  pair", "\\"]
    assert (again.logs[0]["data"]["message"], again.logs[0]["data"]["data"]) == ("xy", {"k": [""]})


def test_an_older_file_is_replaced_only_by_a_verified_one(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("older")
    _, history = market()
    history.agents[1]["index"] = 7
    with pytest.raises(ExportFailed, match="row 2 of table agents"):
        export_sqlite(path, history)
    assert path.read_text() == "older"
    history.agents[1]["index"] = 2
    export_sqlite(path, history)
    assert len(read_sqlite(path).agents) == 2


def test_the_same_id_twice_is_an_error(tmp_path: Path) -> None:
    made, history = market()
    made.log("info", "one")
    history.logs.append(history.logs[0] | {"index": 2})
    with pytest.raises(sqlite3.IntegrityError):
        export_sqlite(tmp_path / "x.db", history)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_history(tmp_path: Path) -> None:
    assert export_sqlite(tmp_path / "x.db", History()) == {"agents": 0, "actions": 0, "logs": 0}
    assert read_sqlite(tmp_path / "x.db") == History()


def test_filename() -> None:
    assert export_filename(None, "my_run") == "my_run.db"
    assert export_filename("", "my_run") == "my_run.db"
    assert export_filename("a b.sqlite", "x") == "a b.sqlite"
    for name in ("../x.db", "a/b", "..", ".", "a\\b", "a\0", "a\nb", "x" * 201):
        with pytest.raises(Invalid, match="plain file name"):
            export_filename(name, "x")
