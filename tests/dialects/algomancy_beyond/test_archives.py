"""A session as an archive, and a session from one."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from tests.dialects.algomancy.client import Api, Session, fresh

pytestmark = pytest.mark.integration
SESSIONS = "/algomancy/api/v1/sessions"


def send(http: httpx.Client, content: bytes, name: str) -> httpx.Response:
    return http.post(f"{SESSIONS}/import", params={"display_name": name}, content=content)


def imported(api: Api, content: bytes) -> Session:
    name = fresh("imported")
    reply = send(api.http, content, name)
    assert reply.status_code == 201, reply.text
    return Session(api, next(one["id"] for one in reply.json()["sessions"] if one["display_name"] == name))


def scenarios(session: Session) -> list[dict[str, Any]]:
    """All of them, but for the ids, which are new."""
    return [{**one, "id": ""} for one in session.call("GET", "/scenarios")]


def changed(content: bytes, **files: Any) -> bytes:
    """The archive with other files."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            edit = files.get(name.replace("/", "_").replace(".", "_"))
            document = old.read(name)
            new.writestr(name, json.dumps(edit(json.loads(document))) if edit else document)
    return out.getvalue()


@pytest.fixture
def full(session: Session) -> Session:
    """Scenarios in every state, one of them run twice, one on an older version of its dataset."""
    runs: list[tuple[str, dict[str, Any]]] = [
        ("Greedy Slotting", {}), ("Failure Modes", {"mode": "raise_value_error"}), ("Parameter Matrix", {}),
        ("Failure Modes", {"mode": "key_error_in_kpi"}),
    ]  # fmt: skip
    for number, (algorithm, params) in enumerate(runs):
        made = session.create("example_data", algorithm, tag=f"s{number} ünï", **params)
        session.run(made)
        session.ended(made)
    first = session.call("GET", "/scenarios/summary")["items"][1]
    session.run(first)
    session.ended(first)
    session.create("example_data", "Parameter Matrix", tag="new", float_param=2)
    document = session.call("GET", "/data/example_data")
    document["tables"]["sku_data"]["data"][0]["daily_picks"] = 9999
    session.call("POST", "/data/from-json", 201, json=document)
    session.call("POST", "/data/example_data/derive", 201, json={"new_key": "derived / ü"})
    files = [("files", ("sku_data.csv", b"itemid;x\n1;2\n1;3\n"))]
    assert session.call("POST", "/etl", data={"dataset_name": "loaded"}, files=files)["success"]
    return session


def test_everything_reads_the_same_after_an_import(full: Session, http: httpx.Client) -> None:
    archive = http.get(f"{SESSIONS}/{full.id}/archive")
    assert archive.headers["content-type"] == "application/zip"
    tables = http.get(f"{SESSIONS}/{full.id}/archive", params={"csv": True})
    with zipfile.ZipFile(io.BytesIO(tables.content)) as outer:
        inner = zipfile.ZipFile(io.BytesIO(outer.read("datasets/1.csv.zip")))
    assert inner.read("sku_data.csv").startswith(b"itemid,sku,")
    copy = imported(full.api, tables.content)
    assert scenarios(copy) == scenarios(full)
    assert copy.keys() == full.keys()
    for key in ("example_data", "loaded"):
        for what in (f"/data/{key}", f"/data/{key}/parameters", f"/data/{key}/messages"):
            assert copy.call("GET", what) == full.call("GET", what)
    assert copy.call("GET", "/data/loaded/messages")["messages"]
    versions = {one["tag"]: one["id"] for one in copy.call("GET", "/scenarios")}
    runs = copy.call("GET", f"/scenarios/{versions['s0 ünï']}/runs")["runs"]
    assert [(run["status"], run["runner"]) for run in runs] == [("complete", "archive")] * 2
    assert [run["kpis"] for run in runs] == [
        run["kpis"] for run in full.call("GET", f"/scenarios/{_id(full, 's0 ünï')}/runs")["runs"]
    ]


def _id(session: Session, tag: str) -> str:
    return next(str(one["id"]) for one in session.call("GET", "/scenarios") if one["tag"] == tag)


def test_a_copied_session_takes_its_messages_along(full: Session, http: httpx.Client) -> None:
    name = fresh("copy")
    listed = full.call("POST", "/copy", 201, json={"new_display_name": name})["sessions"]
    copied = Session(full.api, next(one["id"] for one in listed if one["display_name"] == name))
    again = imported(full.api, http.get(f"{SESSIONS}/{copied.id}/archive").content)
    assert again.call("GET", "/data/loaded/messages") == full.call("GET", "/data/loaded/messages")


def test_an_imported_scenario_runs_again_on_its_version(full: Session, http: httpx.Client) -> None:
    copy = imported(full.api, http.get(f"{SESSIONS}/{full.id}/archive").content)
    before = copy.read({"id": _id(copy, "s0 ünï")})
    copy.run(before)
    after = copy.ended(before)
    assert after["kpis"] == before["kpis"]
    assert after["result"]["allocation"] == before["result"]["allocation"]
    assert copy.call("GET", f"/scenarios/{before['id']}/runs")["runs"][-1]["runner"] != "archive"


def test_what_is_no_archive_is_refused(full: Session, http: httpx.Client) -> None:
    good = http.get(f"{SESSIONS}/{full.id}/archive").content
    names = [one["display_name"] for one in full.api.sessions()]
    wrong = [
        b"", b"PK", good[: len(good) // 2],
        changed(good, manifest_json=lambda found: {**found, "version": 2}),
        changed(good, manifest_json=lambda found: {**found, "scenarios": 99}),
        changed(good, manifest_json=lambda found: {**found, "datasets": {"datasets/1.json": "other"}}),
        changed(good, manifest_json=lambda _: []),
        changed(good, scenarios_1_json=lambda found: {**found, "algo_name": "x"}),
        changed(good, scenarios_1_json=lambda found: {**found, "parameters": "{"}),
        changed(good, scenarios_1_json=lambda found: {**found, "dataset": "../../etc/passwd"}),
        changed(good, scenarios_1_json=lambda found: {**found, "tag": "new"}),
        changed(good, datasets_1_json=lambda found: {**found, "metadata": {}}),
    ]  # fmt: skip
    for content in wrong:
        reply = send(http, content, "never")
        assert (reply.status_code, list(reply.json())) == (400, ["detail"]), reply.text
    assert send(http, good, names[0]).status_code == 409
    assert [one["display_name"] for one in full.api.sessions()] == names


def test_an_archive_that_unpacks_to_too_much_is_refused(http: httpx.Client) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            with archive.open(f"{number}.json", "w") as file:
                for _ in range(250):
                    file.write(bytes(1 << 20))
    assert send(http, out.getvalue(), "never").status_code == 413
