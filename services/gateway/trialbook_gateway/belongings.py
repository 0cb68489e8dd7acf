"""Stored bytes are addressed by their sha256 across workspaces; who may use them is a question of the workspace."""

from __future__ import annotations

import msgspec

from trialbook.queries import Sql, SqlResult
from trialbook_gateway.reading import seen_in
from trialbook_gateway.services import Caller, Services

_KNOWN = """
SELECT count(*) FROM (
    SELECT 1 FROM files WHERE data->>'sha256' = ?
    UNION ALL SELECT 1 FROM artifacts WHERE sha256 = ?
    UNION ALL SELECT 1 FROM datasets WHERE contains(CAST(data AS VARCHAR), ?)
    UNION ALL SELECT 1 FROM models WHERE contains(CAST(data AS VARCHAR), ?)
)
"""
_decode = msgspec.json.Decoder(SqlResult).decode


async def may_refer_to(services: Services, caller: Caller, sha256: str) -> bool:
    """Whether a caller may name stored bytes by their digest: one whose token is limited to workspaces only what is
    a file, an artifact or part of a dataset or model there. Knowing a digest does not open another workspace's bytes.
    """
    if caller.principal.workspaces is None:
        return True
    at_least = seen_in(services, caller, 0)
    question = Sql(sql=_KNOWN, params=[sha256] * _KNOWN.count("?"), at_least=at_least)
    body, _ = await services.ask.ask_bytes(caller.workspace, question, services.settings.ask_timeout_s)
    return bool(_decode(body).rows[0][0])
