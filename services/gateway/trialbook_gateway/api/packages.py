"""/v1/runs/{run}/package and /provenance: a run to take away, and signed statements about what it produced."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from trialbook.ids import parse_id
from trialbook.times import rfc3339
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.packaging.package import Packager, signed_statements
from trialbook_gateway.packaging.signing import signer
from trialbook_gateway.packaging.sources import Sources
from trialbook_gateway.schemas.base import DatedQuery, Id
from trialbook_gateway.services import caller_of

router = APIRouter(prefix="/v1/runs/{run}", tags=["runs"], route_class=StrictRoute)
ZIP, BUNDLE = "application/zip", "application/x-ndjson"


class ProvenanceQuery(DatedQuery):
    """Which artifact."""

    artifact: Annotated[str, Field(max_length=1024, description="Only the statement about this one.")] = ""


@router.get("/package", summary="The whole run as RO-Crate", **operation(ok={200: content(None, ZIP)}))
async def package(request: Request, run: Id, query: Annotated[DatedQuery, Query()]) -> Response:
    """A ZIP archive: facts with proofs, inputs, outputs, logs, metrics, environment, RO-Crate metadata, signatures.

    ``as_of``: the run as it was then, with proofs in the ledger of now.
    """
    services, caller = await caller_of(request)
    id_ = parse_id(run, "run id")
    key = await signer()
    folder = Path(tempfile.mkdtemp(prefix="trialbook-package-"))
    try:
        made_at = rfc3339(services.clock.now())
        path = folder / "package.zip"
        await Packager(Sources(services, caller, id_, query.as_of), key, made_at).write(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, media_type=ZIP, filename=f"run-{id_}.zip", background=done)


@router.get("/provenance", summary="Signed statements about artifacts", **operation(ok={200: content(None, BUNDLE)}))
async def provenance(request: Request, run: Id, query: Annotated[ProvenanceQuery, Query()]) -> Response:
    """One DSSE envelope per line: an in-toto statement with SLSA provenance for each artifact."""
    services, caller = await caller_of(request)
    sources = Sources(services, caller, parse_id(run, "run id"), query.as_of)
    envelopes = await signed_statements(sources, await signer(), query.artifact)
    lines = b"".join(msgspec.json.encode(envelope) + b"\n" for envelope in envelopes)
    return replies.raw(lines, media_type=BUNDLE)
