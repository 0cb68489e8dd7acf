"""A reader of packages written from the standards alone: nothing of ours is imported here.

C2SP signed-note and tlog-checkpoint, RFC 6962, DSSE v1, in-toto Statement v1, SLSA Provenance v1, RO-Crate 1.3.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
TYPE_URI = re.compile(r"[a-z][a-z0-9+.-]*:\S+")
IRI = re.compile(r"(?:[^\x00-\x20\x7f\"<>\\^`{|}%#?\[\]]|%[0-9A-Fa-f]{2})+")
Files = Mapping[str, bytes]


def key_of(text: str) -> tuple[str, bytes, Ed25519PublicKey]:
    """Name, key id and key of a verifier key ``name+hash+base64(type, key)``."""
    name, digest, blob = text.strip().split("+", 2)
    raw = base64.b64decode(blob, validate=True)
    assert raw[0] == 1, "Ed25519"
    found = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    assert found.hex() == digest
    return name, found, Ed25519PublicKey.from_public_bytes(raw[1:])


def holds(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def statement_in(envelope: Mapping[str, Any], vkey: str) -> dict[str, Any]:
    """The in-toto statement of a DSSE envelope that the key has signed."""
    name, id_, key = key_of(vkey)
    kind = envelope["payloadType"].encode()
    assert kind == b"application/vnd.in-toto+json"
    body = base64.b64decode(envelope["payload"], validate=True)
    message = b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body))
    assert any(holds(key, base64.b64decode(one["sig"], validate=True), message) for one in envelope["signatures"])
    assert [one["keyid"] for one in envelope["signatures"]] == [f"{name}+{id_.hex()}"]
    statement: dict[str, Any] = json.loads(body)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert TYPE_URI.fullmatch(statement["predicateType"])
    assert statement["subject"]
    for subject in statement["subject"]:
        assert re.fullmatch(r"[0-9a-f]{64}", subject["digest"]["sha256"])
    assert len({subject["name"] for subject in statement["subject"]}) == len(statement["subject"])
    return statement


def must_be_slsa(statement: Mapping[str, Any]) -> None:
    """The predicate has what SLSA Provenance v1 requires, and nothing of another type."""
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert set(statement["predicate"]) == {"buildDefinition", "runDetails"}
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert set(definition) <= {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert TYPE_URI.fullmatch(definition["buildType"])
    assert isinstance(definition["externalParameters"], dict)
    for dependency in definition["resolvedDependencies"]:
        assert {"uri", "digest", "content"} & set(dependency)
    assert TYPE_URI.fullmatch(details["builder"]["id"])
    assert all(isinstance(value, str) for value in details["builder"].get("version", {}).values())
    assert set(details["metadata"]) <= {"invocationId", "startedOn", "finishedOn"}
    for name in ("startedOn", "finishedOn"):
        assert name not in details["metadata"] or TIME.fullmatch(details["metadata"][name])


def head_of(note: str, vkey: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint that the key has signed."""
    name, id_, key = key_of(vkey)
    text, _, signatures = note.rpartition("\n\n")
    signed = [line.split(" ") for line in signatures.splitlines()]
    blobs = [base64.b64decode(blob) for dash, who, blob in signed if (dash, who) == ("—", name)]
    assert any(blob[:4] == id_ and holds(key, blob[4:], f"{text}\n".encode()) for blob in blobs)
    lines = text.split("\n")
    assert lines[0] == name
    return int(lines[1]), base64.b64decode(lines[2], validate=True)


def included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2, which verifies the trees of RFC 6962."""
    if index >= size:
        return False
    fn, sn, found = index, size - 1, leaf
    for step in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = hashlib.sha256(b"\1" + step + found).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = hashlib.sha256(b"\1" + found + step).digest()
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def must_be_in_the_ledger(files: Files, vkey: str) -> int:
    """Every fact is a leaf under the signed checkpoint; the number of facts."""
    proofs = json.loads(files["proofs.json"])
    size, root = head_of(proofs["note"], vkey)
    paths = {one["sequence"]: [bytes.fromhex(step) for step in one["path"]] for one in proofs["inclusion"]}
    lines = files["facts.ndjson"].splitlines()
    for line in lines:
        fact = json.loads(line)
        payload = line.partition(b'"event":')[2][:-1]
        assert json.loads(payload) == fact["event"]
        subject = fact["subject"].encode()
        data = fact["sequence"].to_bytes(8, "big") + len(subject).to_bytes(2, "big") + subject + payload
        leaf = hashlib.sha256(b"\0" + data).digest()
        assert included(leaf, fact["sequence"] - 1, size, paths[fact["sequence"]], root), fact["sequence"]
    return len(lines)


def must_be_signed(files: Files, vkey: str) -> None:
    """Contents and artifacts are those of the signed statements."""
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in files.items() if name != "package.intoto.json"}
    whole = statement_in(json.loads(files["package.intoto.json"]), vkey)
    assert {one["name"]: one["digest"]["sha256"] for one in whole["subject"]} == digests
    told: dict[str, str] = {}
    for line in files["provenance.intoto.jsonl"].splitlines():
        statement = statement_in(json.loads(line), vkey)
        must_be_slsa(statement)
        told |= {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    artifacts = {name.removeprefix("artifacts/"): digests[name] for name in digests if name.startswith("artifacts/")}
    assert told == artifacts


def must_be_a_crate(files: Files) -> dict[str, dict[str, Any]]:
    """The rules of RO-Crate 1.3 and of Process Run Crate 0.6; the entities by their ``@id``."""
    document = json.loads(files["ro-crate-metadata.json"].decode())
    assert set(document) == {"@context", "@graph"}
    assert document["@context"] == [
        "https://w3id.org/ro/crate/1.3/context", "https://w3id.org/ro/terms/workflow-run/context"
    ]  # fmt: skip
    graph = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(graph) == len(document["@graph"]), "each @id once"
    for entity in graph.values():
        assert entity["@type"]
        assert isinstance(entity["name"], str)
        assert entity["name"]
        for name, value in entity.items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    assert set(one) == {"@id"}, (name, "flattened")
                    assert one["@id"] in graph or one["@id"].startswith("https://"), (name, one)
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert (descriptor["@type"], descriptor["about"]) == ("CreativeWork", {"@id": "./"})
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.3"}
    assert root["@type"] == "Dataset"
    assert TIME.fullmatch(root["datePublished"])
    assert root["description"]
    assert root["license"]
    _data_entities(files, graph, {one["@id"] for one in root["hasPart"]})
    _actions(graph, [graph[one["@id"]] for one in root["mentions"]])
    return graph


def _data_entities(files: Files, graph: Mapping[str, dict[str, Any]], parts: set[str]) -> None:
    data = {id_: entity for id_, entity in graph.items() if entity["@type"] == "File"}
    assert set(data) == parts, "every file is reachable from the root"
    for id_, entity in data.items():
        assert IRI.fullmatch(id_), id_
        body = files[unquote(id_)]
        assert entity["sha256"] == hashlib.sha256(body).hexdigest()
        assert entity["contentSize"] == str(len(body))
        assert "/" in entity["encodingFormat"]


def _actions(graph: Mapping[str, dict[str, Any]], actions: list[dict[str, Any]]) -> None:
    assert root_profile(graph) == "https://w3id.org/ro/wfrun/process/0.6"
    assert len(actions) == 1
    for action in actions:
        assert action["@type"] == "CreateAction"
        assert graph[action["instrument"]["@id"]]["@type"] == "SoftwareApplication"
        assert action["agent"]["@id"] in graph
        assert re.fullmatch(r"http://schema\.org/(Active|Completed|Failed)ActionStatus", action["actionStatus"])
        ended = not action["actionStatus"].endswith("/ActiveActionStatus")
        assert ended or "endTime" not in action
        for name in ("startTime", "endTime"):
            assert name not in action or TIME.fullmatch(action[name])


def root_profile(graph: Mapping[str, dict[str, Any]]) -> str:
    """What the root says that it conforms to."""
    profile = graph["./"]["conformsTo"]["@id"]
    assert graph[profile]["@type"] == "CreativeWork"
    return str(profile)


def must_hold(files: Files, vkey: str) -> int:
    """Everything above. Raises ``AssertionError``, or ``KeyError`` for what is not there."""
    must_be_signed(files, vkey)
    must_be_a_crate(files)
    return must_be_in_the_ledger(files, vkey)
