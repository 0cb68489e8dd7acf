"""Check a package without its service: digests, signatures, and that its facts are in the signed ledger."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from trialbook.audit import notes
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.leaf import leaf_hash
from trialbook.audit.merkle import verify_inclusion
from trialbook.audit.notes import InvalidNote
from trialbook.audit.signer import PublicKey, verified
from trialbook.package import dsse
from trialbook.package.crate import METADATA
from trialbook.package.dsse import Envelope, InvalidEnvelope
from trialbook.package.paths import member_path, reference

FACTS, PROOFS, PROVENANCE, CONTENTS = "facts.ndjson", "proofs.json", "provenance.intoto.jsonl", "package.intoto.json"


class FactLine(msgspec.Struct, frozen=True):
    """A line of ``facts.ndjson``: the fact exactly as the ledger has it (``event``) and where."""

    sequence: int
    subject: str
    event: msgspec.Raw


class _Spec(msgspec.Struct, frozen=True):
    inputs: dict[str, str] = {}


class _Data(msgspec.Struct, frozen=True):
    spec: _Spec = _Spec()
    name: str = ""
    sha256: str = ""


class _Event(msgspec.Struct, frozen=True):
    type: str
    data: _Data = _Data()


class Inclusion(msgspec.Struct, frozen=True):
    """How fact ``sequence`` is in the tree of the checkpoint: hashes in hexadecimal."""

    sequence: int
    path: list[str]


class Proofs(msgspec.Struct, frozen=True):
    """``proofs.json``: a signed checkpoint, and the way of every fact to its root."""

    note: str
    inclusion: list[Inclusion]


class Archive(Protocol):
    """A package: names of its files, and their bytes."""

    def names(self) -> list[str]:
        """All files."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes."""
        ...


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``faults`` in sentences, empty when the package holds; counts of what was checked.

    ``absent``: paths and digests of what was not stored any more when the package was made.
    """

    faults: list[str]
    absent: dict[str, str] = {}
    files: int = 0
    facts: int = 0
    statements: int = 0


def check(archive: Archive, keys: Sequence[PublicKey]) -> Verdict:
    """Verify everything that can be without the service. Never raises for what the package holds."""
    faults: list[str] = []
    names = archive.names()
    digests = {name: _digest(archive, name) for name in names}
    faults += [f"{name} is there {count} times" for name, count in Counter(names).items() if count > 1]
    missing = [name for name in (METADATA, FACTS, PROOFS, PROVENANCE, CONTENTS) if name not in digests]
    if missing:
        return Verdict(faults=[f"{name} is missing: this is no package of a run" for name in missing])
    absent = _contents(archive, digests, keys, faults)
    faults += _crate(archive, digests)
    known = {**absent, **digests}
    statements = _provenance(archive, known, keys, faults)
    facts = _facts(archive, keys, faults)
    faults += _bytes(facts, known)
    return Verdict(faults=faults, absent=absent, files=len(digests), facts=len(facts), statements=statements)


def _digest(archive: Archive, name: str) -> str:
    found = hashlib.sha256()
    for chunk in archive.chunks(name):
        found.update(chunk)
    return found.hexdigest()


def _read(archive: Archive, name: str) -> bytes:
    return b"".join(archive.chunks(name))


def _subjects(statement: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["digest"]["sha256"] for entry in statement["subject"]}


def _contents(
    archive: Archive, digests: dict[str, str], keys: Sequence[PublicKey], faults: list[str]
) -> dict[str, str]:
    try:
        envelope = msgspec.json.decode(_read(archive, CONTENTS), type=Envelope)
        statement = dsse.verified(envelope, keys)
        signed, absent = _subjects(statement), dict(statement["predicate"].get("absent", {}))
    except (InvalidEnvelope, msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
        faults.append(f"{CONTENTS}: {error}")
        return {}
    present = {name: digest for name, digest in digests.items() if name != CONTENTS}
    faults += [
        *(f"{name} was changed" for name in sorted(present) if name in signed and signed[name] != present[name]),
        *(f"{name} was added" for name in sorted(present.keys() - signed.keys())),
        *(f"{name} is missing" for name in sorted(signed.keys() - present.keys())),
    ]
    return absent


def _crate(archive: Archive, digests: dict[str, str]) -> list[str]:
    try:
        graph = msgspec.json.decode(_read(archive, METADATA))["@graph"]
        files = {entity["@id"]: entity["sha256"] for entity in graph if entity.get("@type") == "File"}
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
        return [f"{METADATA} cannot be read: {error}"]
    known = {reference(name): digest for name, digest in digests.items()}
    return [f"{METADATA} tells another digest of {name}" for name in sorted(files) if known.get(name) != files[name]]


def _provenance(archive: Archive, digests: dict[str, str], keys: Sequence[PublicKey], faults: list[str]) -> int:
    told: set[str] = set()
    for number, line in enumerate(_read(archive, PROVENANCE).splitlines(), 1):
        try:
            statement = dsse.verified(msgspec.json.decode(line, type=Envelope), keys)
            for name, digest in _subjects(statement).items():
                path = member_path("artifacts", name)
                told.add(path)
                if digests.get(path) != digest:
                    faults.append(f"{PROVENANCE}: the statement about {name} is of other bytes")
        except (InvalidEnvelope, msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
            faults.append(f"{PROVENANCE}, line {number}: {error}")
    untold = sorted(name for name in digests if name.startswith("artifacts/") and name not in told)
    faults.extend(f"{PROVENANCE} says nothing of {name}" for name in untold)
    return len(told)


def _facts(archive: Archive, keys: Sequence[PublicKey], faults: list[str]) -> list[FactLine]:
    try:
        facts = [msgspec.json.decode(line, type=FactLine) for line in _read(archive, FACTS).splitlines()]
        proofs = msgspec.json.decode(_read(archive, PROOFS), type=Proofs)
        note = notes.parse(proofs.note.encode())
        verified(note, keys)
        checkpoint = parse_text(note.text)
    except (msgspec.MsgspecError, InvalidNote, ValueError) as error:
        faults.append(f"the facts cannot be verified: {error}")
        return []
    if not isinstance(checkpoint, Checkpoint):
        faults.append(f"{PROOFS} holds no checkpoint")
        return []
    paths = {proof.sequence: proof.path for proof in proofs.inclusion}
    for fact in facts:
        if fact.sequence not in paths:
            faults.append(f"fact {fact.sequence} has no proof")
        elif not _included(fact, paths[fact.sequence], checkpoint):
            faults.append(f"fact {fact.sequence} is not the one in the signed ledger")
    return facts


def _bytes(facts: Sequence[FactLine], digests: dict[str, str]) -> list[str]:
    """Inputs and artifacts that are not those of which the facts tell."""
    told: dict[str, str] = {}
    for fact in facts:
        try:
            event = msgspec.json.decode(fact.event, type=_Event)
            told |= {member_path("inputs", name): digest for name, digest in event.data.spec.inputs.items()}
            if event.type.startswith("run.artifact_recorded."):
                told[member_path("artifacts", event.data.name)] = event.data.sha256
        except msgspec.MsgspecError as error:
            return [f"fact {fact.sequence} cannot be read: {error}"]
    carried = [name for name in sorted(digests) if name.startswith(("inputs/", "artifacts/"))]
    return [f"{name} is not what the facts tell of" for name in carried if told.get(name) != digests[name]]


def _included(fact: FactLine, path: list[str], checkpoint: Checkpoint) -> bool:
    try:
        leaf = leaf_hash(fact.sequence, fact.subject, bytes(fact.event))
        steps = [bytes.fromhex(step) for step in path]
        return verify_inclusion(leaf, fact.sequence - 1, checkpoint.size, steps, checkpoint.root)
    except (ValueError, OverflowError):
        return False
