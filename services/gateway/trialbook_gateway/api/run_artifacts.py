"""/v1/runs/{run}/artifacts and its result: bytes a run produced."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.domain.run.state import Artifact
from trialbook.errors import NotFound
from trialbook.ids import parse_id
from trialbook.queries import Answer, RunGet
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.ranges import Download, send_blob
from trialbook_gateway.schemas.base import Dated, Id
from trialbook_gateway.services import Services, caller_of

router = APIRouter(prefix="/v1/runs/{run}", tags=["runs"], route_class=StrictRoute)
ANY = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


class ArtifactView(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact: size in bytes, ``path`` where it is downloaded."""

    name: str
    sha256: str
    size: int
    media_type: str
    attempt: int
    created_at: str
    path: str


class ArtifactPage(msgspec.Struct, frozen=True, kw_only=True):
    """All artifacts of a run by name."""

    items: list[ArtifactView]


class Produced(msgspec.Struct):
    """What a RunView says about bytes."""

    artifacts: dict[str, Artifact]
    status: str
    result: msgspec.Raw
    result_blob: str | None = None


def artifact_of(found: Produced, name: str) -> Artifact:
    """An artifact by its name. Raises ``NotFound`` (code ``artifact_not_found``)."""
    artifact = found.artifacts.get(name)
    if artifact is None:
        raise NotFound("artifact_not_found", f"The run has no artifact {name[:100]!r}.", known=sorted(found.artifacts))
    return artifact


def must_have_result(found: Produced) -> None:
    """Raises ``NotFound`` (code ``result_not_found``) unless the run has completed."""
    if found.status != "completed":
        raise NotFound("result_not_found", f"The run is {found.status}; only a completed run has a result.")


async def _produced(request: Request, run: str, query: Dated) -> tuple[Services, str, Answer, Produced]:
    services, caller = await caller_of(request)
    id_ = parse_id(run, "run id")
    question = RunGet(id=id_, at_least=services.seen_by(caller, "run", id_, query.at_least), as_of=query.as_of)
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    return services, id_, answer, msgspec.json.decode(replies.result_of(answer), type=Produced)


@router.get("/artifacts", summary="List artifacts", **operation(ok={200: content(ArtifactPage)}))
async def index(request: Request, run: Id, query: Annotated[Dated, Query()]) -> Response:
    """By name."""
    _, id_, answer, found = await _produced(request, run, query)
    items = [
        ArtifactView(
            name=name, sha256=a.sha256, size=a.size, media_type=a.media_type, attempt=a.attempt,
            created_at=a.created_at, path=f"/v1/runs/{id_}/artifacts/{name}",
        )
        for name, a in sorted(found.artifacts.items())
    ]  # fmt: skip
    return replies.json(ArtifactPage(items=items), headers={replies.SEQUENCE: str(answer.facts)})


@router.get(
    "/artifacts/{name:path}",
    summary="Download an artifact",
    **operation(ok={200: ANY, 206: ANY, 304: None}, errors=(416,)),
)
async def download(request: Request, run: Id, name: str, query: Annotated[Dated, Query()]) -> Response:
    """The bytes, whole or one range; the ETag is the sha256."""
    services, _, _, found = await _produced(request, run, query)
    artifact = artifact_of(found, name)
    what = Download(
        sha256=artifact.sha256, size=artifact.size, media_type=artifact.media_type, name=name.rsplit("/", 1)[-1]
    )
    return await send_blob(request, services.blobs, what)


@router.get(
    "/result",
    summary="The result as JSON, however large",
    **operation(ok={200: {"application/json": {"schema": {}}}, 206: ANY, 304: None}, errors=(409, 416)),
)
async def result(request: Request, run: Id, query: Annotated[Dated, Query()]) -> Response:
    """What the workload returned; 404 ``result_not_found`` while there is none."""
    services, id_, answer, found = await _produced(request, run, query)
    must_have_result(found)
    if found.result_blob is None:
        return replies.raw(bytes(found.result), headers={replies.SEQUENCE: str(answer.facts)})
    stored = await services.blobs.stat(found.result_blob)
    size = stored.size if stored is not None else 0
    what = Download(sha256=found.result_blob, size=size, media_type=replies.JSON, name=f"{id_}.json")
    return await send_blob(request, services.blobs, what)
