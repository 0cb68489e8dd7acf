"""A package of a real run on a real stack, taken away and checked without it; and tampered with."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.package import standards
from trialbook.client import AsyncClient
from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
PROGRAM = (
    "import json, os, pathlib; path = json.loads(os.environ['TRIALBOOK_INPUTS'])['data']; "
    "text = pathlib.Path(path).read_text(); print('read', text); "
    "pathlib.Path('out').mkdir(); pathlib.Path('out/copy.txt').write_text(text.upper()); "
    "pathlib.Path('out/a b#50%.[ü].txt').write_text('odd name')"
)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "trialbook_deploy", *arguments], capture_output=True, text=True)


async def test_a_run_is_taken_away_and_checked_without_the_service(tmp_path: Path) -> None:
    package = tmp_path / "run.zip"
    async with Stack(tmp_path / "data") as stack:
        async with AsyncClient(stack.url) as client:
            data = await client.files.upload(b"some words", name="data.txt")
            argv = [sys.executable, "-c", PROGRAM]
            run = await client.runs.submit(
                "command", {"argv": argv, "artifacts": ["out/*"]}, inputs={"data": data.data["sha256"]}
            )
            done = await client.runs.wait(run.id)
            assert done.status == "completed", done.error
        took = cli("package", run.id, "-o", str(package), "--url", stack.url)
        assert took.returncode == 0, took.stderr
        async with httpx.AsyncClient(base_url=stack.url) as http:
            facts = (await http.get(f"/v1/runs/{run.id}/facts?at_least={done.sequence}")).json()["items"]
            key = (await http.get("/v1/ledger")).json()["ledger"]["key"]
            bundle = (await http.get(f"/v1/runs/{run.id}/provenance?artifact=out/copy.txt")).text
            assert json.loads(bundle.splitlines()[0])["payloadType"] == "application/vnd.in-toto+json"
            statement = standards.statement_in(json.loads(bundle.splitlines()[0]), key)
            standards.must_be_slsa(statement)
            assert statement["subject"] == [{"name": "out/copy.txt", "digest": {"sha256": sha256(b"SOME WORDS")}}]
            assert (await http.get(f"/v1/runs/{run.id}/provenance?artifact=none")).status_code == 404
            await looked_back(http, run.id, facts, key)
            assert (await http.get(f"/v1/runs/{'0' * 32}/package")).status_code == 404
    holds_what_the_run_was(package, run.id, len(facts), key)
    good = cli("package", "--verify", str(package), "--key", key)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "in order" in good.stdout
    tampering_is_found(package, tmp_path / "forged.zip", key)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def looked_back(http: httpx.AsyncClient, run: str, facts: list[dict[str, Any]], key: str) -> None:
    """The package as of each fact is whole, and has what there was then."""
    assert (await http.get(f"/v1/runs/{run}/package?as_of={facts[0]['sequence'] - 1}")).status_code == 404
    for number, fact in enumerate(facts, 1):
        reply = await http.get(f"/v1/runs/{run}/package", params={"as_of": fact["sequence"]})
        with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        assert standards.must_hold(files, key) == number
        recorded = sum(one["event"]["type"] == "run.artifact_recorded.v1" for one in facts[:number])
        assert len([name for name in files if name.startswith("artifacts/")]) == recorded
        statements = await http.get(f"/v1/runs/{run}/provenance", params={"as_of": fact["sequence"]})
        assert len(statements.text.splitlines()) == recorded


def holds_what_the_run_was(package: Path, run: str, facts: int, key: str) -> None:
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())
        files = {name: archive.read(name) for name in names}
        assert standards.must_hold(files, key) == facts
        assert {"inputs/data", "artifacts/out/copy.txt", "facts.ndjson", "logs.ndjson", "run.json"} <= names
        assert archive.read("artifacts/out/copy.txt") == b"SOME WORDS"
        assert len(archive.read("facts.ndjson").splitlines()) == facts
        assert b"read some words" in archive.read("logs.ndjson")
        environment = json.loads(archive.read("environment/attempts.json"))["1"]
        assert environment["workload"].startswith("command@")
        assert any(name.startswith("environment/packages-") for name in names)
        graph = {e["@id"]: e for e in json.loads(archive.read("ro-crate-metadata.json"))["@graph"]}
        assert graph["./"]["conformsTo"]["@id"].startswith("https://w3id.org/ro/wfrun/process/")
        parts = {unquote(part["@id"]) for part in graph["./"]["hasPart"]}
        assert parts == names - {"ro-crate-metadata.json", "package.intoto.json"}
        results = [{"@id": "artifacts/out/a%20b%2350%25.%5Bü%5D.txt"}, {"@id": "artifacts/out/copy.txt"}]
        assert graph[f"#run-{run}"]["result"] == results


def tampering_is_found(package: Path, forged: Path, key: str) -> None:
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            body = source.read(name)
            target.writestr(name, b"OTHER WORDS" if name == "artifacts/out/copy.txt" else body)
    bad = cli("package", "--verify", str(forged), "--key", key)
    assert bad.returncode == 1
    assert "artifacts/out/copy.txt was changed" in bad.stdout
    assert cli("package", "--verify", str(package)).returncode == 2
