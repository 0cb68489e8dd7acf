"""The SQLite export: the artifact of a run that was asked for one, or built now from a finished run's history."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response, StreamingResponse

from trialbook.domain.run.state import Artifact
from trialbook_gateway.dialects.marketplace.errors import not_found
from trialbook_gateway.dialects.marketplace.experiments import Experiment
from trialbook_gateway.dialects.marketplace.history import ARTIFACT, Histories, pack
from trialbook_gateway.services import Caller, Services
from trialbook_marketplace.export import export_filename, export_sqlite
from trialbook_marketplace.rows import History

MEDIA_TYPE = "application/vnd.sqlite3"
GZIP = "application/gzip"


async def download(services: Services, histories: Histories, caller: Caller, experiment: Experiment) -> Response:
    """The file. Raises 404 while there is none: before the end of the run, or without any history of it."""
    name = export_filename(experiment.params.get("export_filename") or None, str(experiment.name))
    stored = experiment.artifacts.get(name)
    if stored is not None and stored.media_type == MEDIA_TYPE and experiment.finished:
        return _stored(services, stored, name)
    if not experiment.finished:
        raise not_found("no_export", f"Experiment '{experiment.name}' has no export yet")
    folder = Path(tempfile.mkdtemp(prefix="trialbook-export-"))
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    try:
        path = await histories.compute(caller, experiment, lambda history: _written(folder / "export.db", history))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if path is None:
        shutil.rmtree(folder, ignore_errors=True)
        raise not_found("no_export", f"Experiment '{experiment.name}' has no export: it recorded nothing")
    return FileResponse(path, media_type=MEDIA_TYPE, filename=name, background=done)


async def history_lines(services: Services, histories: Histories, caller: Caller, experiment: Experiment) -> Response:
    """The history as JSON Lines, compressed: the artifact of the run, else made of what the projector has."""
    if not experiment.finished:
        raise not_found("no_export", f"Experiment '{experiment.name}' has no export yet")
    stored = experiment.artifacts.get(ARTIFACT)
    name = f"{experiment.name}.ndjson.gz"
    if stored is not None:
        return _stored(services, stored, name)
    packed = await histories.compute(caller, experiment, pack)
    return Response(packed, media_type=GZIP, headers={"Content-Disposition": _attachment(name)})


def _attachment(name: str) -> str:
    return f"attachment; filename*=utf-8''{quote(name)}"


def _written(path: Path, history: History) -> Path | None:
    if not history.agents and not history.logs:
        return None
    export_sqlite(path, history)
    return path


def _stored(services: Services, stored: Artifact, name: str) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in services.blobs.get(stored.sha256):
            yield chunk

    headers = {
        "Content-Length": str(stored.size),
        "Content-Disposition": _attachment(name),
        "ETag": f'"{stored.sha256}"',
    }
    return StreamingResponse(chunks(), media_type=stored.media_type, headers=headers)
