"""A package holds as it was made, and every change of it is found."""

import hashlib
import json
from collections.abc import Iterator

import msgspec
import pytest

from tests.package import standards
from trialbook.audit.checkpoint import Checkpoint
from trialbook.audit.leaf import leaf_hash
from trialbook.audit.merkle import head, inclusion, over
from trialbook.audit.signer import Signer
from trialbook.domain.run import events as e
from trialbook.domain.run.state import Artifact
from trialbook.package import dsse
from trialbook.package.check import CONTENTS, FACTS, PROOFS, PROVENANCE, Inclusion, Proofs, Verdict, check
from trialbook.package.crate import METADATA, Member, metadata
from trialbook.package.paths import member_path
from trialbook.package.provenance import Attempt, contents, provenance, told
from trialbook.views import RunView

SIGNER = Signer("book.example", b"s" * 32)
OTHER = Signer("book.example", b"o" * 32)
OUT = b"forty-two\n"
IN = b"input"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


TOLD: list[tuple[int, str, dict[str, object]]] = [
    (3, "submitted", {"spec": {"workload": "command", "inputs": {"data": sha256(IN)}}}),
    (4, "started", {"attempt": 1}),
    (5, "artifact_recorded", {"attempt": 1, "name": "out.txt", "sha256": sha256(OUT), "size": len(OUT)}),
    (7, "completed", {"attempt": 1}),
]
LINES = [
    (sequence, f"fact.main.run.{'1' * 32}.{name}", json.dumps({"type": f"run.{name}.v1", "data": data}).encode())
    for sequence, name, data in TOLD
]
ATTEMPT = Attempt(
    runner="box-1", environment={"python": "3.11", "packages": "b" * 64}, started_at="2026-01-01T00:00:01Z"
)


RUN = RunView(
    id="1" * 32, workspace="main", name=None, title="t", workload="command", dialect="native", status="completed",
    params={"argv": ["x"]}, labels={}, pool="default", priority="normal", isolation="process", timeout_s=None,
    max_attempts=1, seed=1, inputs={"data": sha256(IN)}, parent=None, attempt=1, runner="r", sandbox=None,
    created_at="2026-01-01T00:00:00Z", queued_at=None, started_at="2026-01-01T00:00:01Z", attempt_started_at=None,
    finished_at="2026-01-01T00:00:02Z", not_before=None, cancel_requested=False, pause_requested=False,
    lane="", held=False, cancel_reason=None, error=None, result=None, result_blob=None, steps={},
    artifacts={"out.txt": Artifact(sha256=sha256(OUT), size=len(OUT), media_type="text/plain", attempt=1,
                                   created_at="2026-01-01T00:00:02Z")},
    deleted=False, signal_sequence=0, sequence=7, extra={},
)  # fmt: skip


class Files(dict[str, bytes]):
    """A package in memory."""

    def names(self) -> list[str]:
        return list(self)

    def chunks(self, name: str) -> Iterator[bytes]:
        yield self[name]


def made() -> Files:
    ledger = {sequence: leaf_hash(sequence, subject, data) for sequence, subject, data in LINES}
    leaves = [ledger.get(sequence, bytes(32)) for sequence in range(1, 11)]
    root = head(leaves)
    note = SIGNER.note(Checkpoint("book.example", len(leaves), root, 1).text).encode().decode()
    paths = [
        Inclusion(sequence, [step.hex() for step in inclusion(sequence - 1, len(leaves), over(leaves))])
        for sequence in ledger
    ]
    facts = b"".join(
        b'{"sequence":%d,"subject":"%s","event":%s}\n' % (sequence, subject.encode(), data)
        for sequence, subject, data in LINES
    )
    statement = provenance(RUN, "out.txt", RUN.artifacts["out.txt"], ATTEMPT)
    files = Files({
        FACTS: facts, PROOFS: msgspec.json.encode(Proofs(note, paths)), "artifacts/out.txt": OUT, "inputs/data": IN,
        PROVENANCE: msgspec.json.encode(dsse.sign(statement, SIGNER)) + b"\n",
    })  # fmt: skip
    members = [
        Member(path=path, sha256=sha256(data), size=len(data), role="record", about=path)
        for path, data in files.items()
    ]
    files[METADATA] = msgspec.json.encode(metadata(RUN, members, "ada", "2026-01-01T00:00:03Z"))
    return resigned(files, SIGNER)


def resigned(files: Files, signer: Signer, absent: dict[str, str] | None = None) -> Files:
    digests = {name: sha256(data) for name, data in files.items() if name != CONTENTS}
    files[CONTENTS] = msgspec.json.encode(dsse.sign(contents(RUN, digests, absent or {}), signer))
    return files


def test_a_package_as_it_was_made_holds() -> None:
    assert standards.must_hold(made(), SIGNER.public.text) == 4
    assert check(made(), [SIGNER.public]) == Verdict(faults=[], files=7, facts=4, statements=1)


@pytest.mark.parametrize("name", [FACTS, PROOFS, PROVENANCE, METADATA, CONTENTS, "artifacts/out.txt", "inputs/data"])
def test_no_byte_of_any_file_can_be_changed(name: str) -> None:
    whole = made()
    step = max(1, len(whole[name]) // 60)
    for place in range(0, len(whole[name]), step):
        files = Files(whole)
        changed = bytearray(files[name])
        changed[place] ^= 0x01
        files[name] = bytes(changed)
        assert check(files, [SIGNER.public]).faults, (name, place)
        with pytest.raises((AssertionError, KeyError, ValueError)):
            standards.must_hold(files, SIGNER.public.text)


def test_files_that_are_added_or_missing_are_named() -> None:
    files = made()
    files["artifacts/extra"] = b"x"
    assert any("artifacts/extra was added" in fault for fault in check(files, [SIGNER.public]).faults)
    files = made()
    del files["artifacts/out.txt"]
    assert any("artifacts/out.txt is missing" in fault for fault in check(files, [SIGNER.public]).faults)
    assert check(Files({"a": b""}), [SIGNER.public]).faults


def test_what_is_said_to_be_gone_is_told_and_no_fault() -> None:
    files = made()
    gone = {"artifacts/out.txt": sha256(OUT)}
    del files["artifacts/out.txt"]
    graph = json.loads(files[METADATA])
    graph["@graph"] = [entity for entity in graph["@graph"] if entity["@id"] != "artifacts/out.txt"]
    files[METADATA] = json.dumps(graph).encode()
    assert check(resigned(files, SIGNER), [SIGNER.public]).faults, "nobody says that it is gone"
    verdict = check(resigned(files, SIGNER, gone), [SIGNER.public])
    assert (verdict.faults, verdict.absent) == ([], gone)
    assert check(resigned(files, SIGNER, {"artifacts/out.txt": sha256(b"x")}), [SIGNER.public]).faults


def test_who_has_another_key_cannot_make_it_hold() -> None:
    files = made()
    files["artifacts/out.txt"] = b"forged"
    assert check(resigned(files, OTHER), [SIGNER.public]).faults
    assert check(made(), [OTHER.public]).faults
    assert check(made(), []).faults


def test_who_has_the_key_cannot_tell_other_facts_than_the_ledger() -> None:
    files = made()
    files[FACTS] = files[FACTS].replace(b'started.v1", "data": {"attempt": 1', b'started.v1", "data": {"attempt": 2')
    faults = check(resigned(files, SIGNER), [SIGNER.public]).faults
    assert any("fact 4 is not the one in the signed ledger" in fault for fault in faults)


@pytest.mark.parametrize("name", ["artifacts/out.txt", "inputs/data"])
def test_who_has_the_key_cannot_give_other_bytes_than_the_facts_tell_of(name: str) -> None:
    files = made()
    files[name] = b"forged"
    statement = provenance(RUN, "out.txt", Artifact(
        sha256=sha256(files["artifacts/out.txt"]), size=6, media_type="text/plain", attempt=1, created_at="",
    ), ATTEMPT)  # fmt: skip
    files[PROVENANCE] = msgspec.json.encode(dsse.sign(statement, SIGNER)) + b"\n"
    members = [
        Member(path=path, sha256=sha256(data), size=len(data), role="record", about=path)
        for path, data in files.items() if path not in (METADATA, CONTENTS)
    ]  # fmt: skip
    files[METADATA] = msgspec.json.encode(metadata(RUN, members, "ada", "2026-01-01T00:00:03Z"))
    assert check(resigned(files, SIGNER), [SIGNER.public]).faults == [f"{name} is not what the facts tell of"]


def test_a_name_that_is_there_twice_is_a_fault() -> None:
    class Doubled(Files):
        def names(self) -> list[str]:
            return [*self, "artifacts/out.txt"]

    assert check(Doubled(made()), [SIGNER.public]).faults == ["artifacts/out.txt is there 2 times"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a//b", ".", "..\\b", "C:\\x"])
def test_no_name_leads_out_of_its_folder(name: str) -> None:
    path = member_path("artifacts", name)
    assert path.startswith("artifacts/")
    assert not {"", ".", "..", "\\"} & set(path.removeprefix("artifacts/").split("/"))
    assert "\\" not in path


def test_usual_names_stay() -> None:
    for name in ("out/a b#%1 ü.txt", "a.tar.gz", "..hidden", "x/.y"):
        assert member_path("artifacts", name) == f"artifacts/{name}"


def test_a_statement_tells_of_the_attempt_that_made_the_artifact() -> None:
    attempts: dict[int, Attempt] = {}
    for fact, at in (
        (e.Started(attempt=1, runner="box-1", environment={"python": "3.11"}), "t1"),
        (e.AttemptLost(attempt=1, runner="box-1"), "t2"), (e.Started(attempt=2, runner="box-2"), "t3"),
        (e.Completed(attempt=2), "t4"),
    ):  # fmt: skip
        told(attempts, fact, at)
    run = msgspec.structs.replace(RUN, attempt=2, runner="box-2", attempt_started_at="t3", finished_at="t4")
    details = provenance(run, "out.txt", RUN.artifacts["out.txt"], attempts[1])["predicate"]["runDetails"]
    assert details["builder"] == {"id": "urn:trialbook:runner:box-1", "version": {"python": "3.11"}}
    assert (details["metadata"]["startedOn"], details["metadata"]["finishedOn"]) == ("t1", "t2")
    told(attempts, e.Started(attempt=3, runner="box-3"), "t5")
    going = provenance(run, "out.txt", RUN.artifacts["out.txt"], attempts[3])["predicate"]["runDetails"]["metadata"]
    assert "finishedOn" not in going


def test_an_artifact_without_a_statement_is_named() -> None:
    files = made()
    files[PROVENANCE] = b""
    faults = check(resigned(files, SIGNER), [SIGNER.public]).faults
    assert f"{PROVENANCE} says nothing of artifacts/out.txt" in faults


def test_the_statement_is_in_toto_with_slsa_provenance() -> None:
    statement = provenance(RUN, "out.txt", RUN.artifacts["out.txt"], ATTEMPT)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "out.txt", "digest": {"sha256": sha256(OUT)}}]
    predicate = statement["predicate"]
    assert predicate["buildDefinition"]["externalParameters"]["params"] == {"argv": ["x"]}
    assert {d["digest"]["sha256"] for d in predicate["buildDefinition"]["resolvedDependencies"]} == {
        sha256(IN),
        "b" * 64,
    }
    assert predicate["runDetails"]["metadata"]["invocationId"].endswith("#1")


def test_the_encoding_that_is_signed_is_that_of_the_specification() -> None:
    assert dsse.encoded("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
