"""What belongs to a data subject: for those who carry out an erasure."""

from __future__ import annotations

from trialbook.queries import DataSubjectScope, DataSubjectView
from trialbook_projector.queries.reading import Reading

UNFINISHED = 100
_AGGREGATES = """
SELECT DISTINCT kind, aggregate FROM book.facts WHERE workspace = ? AND datakey = ? ORDER BY kind, aggregate
"""
_UNFINISHED = f"""
SELECT r.id FROM book.runs AS r WHERE r.workspace = ? AND r.status IN ('queued', 'running', 'paused')
    AND r.id IN (SELECT DISTINCT aggregate FROM book.facts WHERE workspace = ? AND datakey = ? AND kind = 'run')
ORDER BY r.created LIMIT {UNFINISHED}
"""  # noqa: S608 -- a number
# The list of packages that an attempt ran in belongs to nobody. Facts of other data subjects keep what is theirs; their
# sealed members cannot be looked into and need not be: digests of stored bytes stand in clear.
_DIGESTS = """
WITH named AS (
    SELECT workspace = ? AND datakey = ? AND type <> 'run.started.v1' AS own,
        unnest(regexp_extract_all(data, '[0-9a-f]{64}')) AS digest
    FROM book.facts WHERE regexp_matches(data, '[0-9a-f]{64}')
)
SELECT digest FROM named GROUP BY digest HAVING bool_and(own) ORDER BY digest
"""


def scope(reading: Reading, query: DataSubjectScope) -> DataSubjectView:
    """``datasubject.scope``; of somebody unknown there is nothing."""
    own = [reading.workspace, query.datakey]
    unfinished = [row[0] for row in reading.rows(_UNFINISHED, [reading.workspace, *own])]
    aggregates: dict[str, list[str]] = {}
    if query.runs_only:
        return DataSubjectView(aggregates=aggregates, unfinished=unfinished, digests=[])
    for kind, id_ in reading.rows(_AGGREGATES, own):
        aggregates.setdefault(kind, []).append(id_)
    return DataSubjectView(
        aggregates=aggregates,
        unfinished=unfinished,
        digests=[row[0] for row in reading.rows(_DIGESTS, own)],
    )
