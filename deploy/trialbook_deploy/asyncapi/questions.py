"""The typed questions, as FastStream's generator describes the projector's subscribers, with their answers.

The generator knows no replies, names components with colons, which AsyncAPI does not allow, and keeps the queue group
where AsyncAPI's NATS binding has none; that is put right here.
"""

from __future__ import annotations

import typing
from typing import Any

import msgspec
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI

from trialbook import subjects
from trialbook.proofs import (
    ConsistencyProof,
    InclusionProof,
    LedgerCheckpoint,
    LedgerConsistency,
    LedgerInclusion,
    LedgerInfo,
    LedgerManifest,
    LedgerState,
    LedgerTile,
    NoteView,
    SignedManifest,
)
from trialbook.queries import (
    Answer,
    EventLines,
    Health,
    LedgerFacts,
    LedgerPage,
    LedgerSegments,
    LinesEnd,
    ProjectorHealth,
    SegmentList,
    Sql,
    SqlResult,
)
from trialbook_deploy.asyncapi.schemas import parameters, ref, schemas
from trialbook_projector.answer import READ
from trialbook_projector.questions import DIRECT, SERVED, Questions
from trialbook_projector.rebuild import Report as RebuildReport
from trialbook_projector.seal import Report as SealReport

RENAMED = {":Message:Payload": ".body", ":SubscribeMessage": ".question", "SubscribeMessage": "question"}
ANSWERS = "answers"
ANSWERED: dict[str, Any] = {
    Health.NAME: ProjectorHealth,
    Sql.NAME: SqlResult,
    EventLines.NAME: LinesEnd,
    LedgerFacts.NAME: LedgerPage,
    LedgerSegments.NAME: SegmentList,
    LedgerState.NAME: LedgerInfo,
    LedgerCheckpoint.NAME: NoteView,
    LedgerInclusion.NAME: InclusionProof,
    LedgerConsistency.NAME: ConsistencyProof,
    LedgerTile.NAME: None,
    LedgerManifest.NAME: SignedManifest,
    subjects.REBUILD: RebuildReport,
    subjects.SEAL: SealReport,
}
"""Results of questions that no reader's function answers."""
BINARY = {
    Sql.NAME: "For arrow, csv and parquet the payload is the bytes; the header `Trialbook-Media-Type` tells.",
    EventLines.NAME: "The payload is lines of JSON, the last of them the `result` described; a refusal is an Answer.",
    LedgerTile.NAME: "The payload is the tile's hashes; a refusal is an Answer.",
}
"""What is answered with bytes."""


def document(title: str, version: str, description: str, server: str) -> dict[str, Any]:
    """The document of the questions and their answers."""
    broker = NatsBroker(server, apply_types=False)
    questions = Questions()
    broker.include_routers(questions.router, questions.direct)
    generated = AsyncAPI(broker, title=title, version=version, description=description, schema_version="3.0.0")
    text = msgspec.json.encode(generated.to_specification().to_jsonable()).decode()
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    made: dict[str, Any] = msgspec.json.decode(text)
    results = _results()
    types, components = schemas([Answer, *results.values()])
    made["components"]["schemas"] |= components
    for name, result in zip(results, types[1:], strict=True):
        _complete(made, name, result, BINARY.get(name, ""))
    made["channels"][ANSWERS] = {
        "address": None,
        "description": "The reply subject of the question. `error` is there when it was refused.",
        "messages": {name: ref("components", "messages", f"{name}.answer") for name in sorted(results)},
    }
    return made


def _results() -> dict[str, Any]:
    """Question -> type of the answer's ``result``. Raises ``ValueError`` for one whose answer is not known here."""
    read = {name: typing.get_type_hints(function)["return"] for name, function in READ.items()}
    found = {**read, **ANSWERED}
    if unknown := (SERVED | DIRECT) - set(found):
        raise ValueError(f"what is the answer to {sorted(unknown)}?")
    return {name: found[name] for name in sorted(SERVED | DIRECT)}


def _complete(made: dict[str, Any], name: str, result: dict[str, Any], binary: str) -> None:
    channel, operation = made["channels"][name], made["operations"][name]
    channel["parameters"] = parameters(channel["address"])
    queue = channel.pop("bindings")["nats"]["queue"]
    operation["bindings"] = {"nats": {"queue": queue, "bindingVersion": "0.1.0"}}
    operation["reply"] = {"channel": ref("channels", ANSWERS), "messages": [ref("channels", ANSWERS, "messages", name)]}
    message: dict[str, Any] = {
        "title": f"{name}.answer",
        "contentType": "application/json",
        "payload": {"allOf": [ref("components", "schemas", "Answer"), {"properties": {"result": result}}]},
    }
    if binary:
        message["description"] = binary
    if name in DIRECT:  # no header of the question is repeated in the answer
        made["components"]["messages"][f"{name}.question"].pop("correlationId")
    made["components"]["messages"][f"{name}.answer"] = message
