"""The registry of aggregates: kind -> decider and event classes. Everything that folds facts looks here."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.decider import Decider
from trialbook.domain import catalog, dataset, datasubject, file, lane, model, names, run, versioned, workspace


class Aggregate(msgspec.Struct, frozen=True):
    """One kind of aggregate; ``events`` maps wire type to class.

    ``records`` names the types that there may be very many of and of which no decision looks at any but the newest.
    """

    kind: str
    decider: Decider[Any, Any, Any]
    events: dict[str, Any]
    records: frozenset[str] = frozenset()


def _aggregate(kind: str, events: tuple[Any, ...], initial: Any, decide: Any, evolve: Any) -> Aggregate:
    return Aggregate(kind, Decider(initial, decide, evolve), {event.TYPE: event for event in events})


RUN = Aggregate(
    "run", Decider(run.initial, run.decide, run.evolve, run.evolve_all), {event.TYPE: event for event in run.EVENTS},
    records=frozenset({"effect_recorded", "checkpointed"}),
)  # fmt: skip
NAME = _aggregate("name", names.EVENTS, names.initial, names.decide, names.evolve)
WORKSPACE = _aggregate("workspace", workspace.EVENTS, workspace.initial, workspace.decide, workspace.evolve)
FILE = _aggregate("file", file.EVENTS, file.initial, file.decide, file.evolve)
DATASET = _aggregate("dataset", dataset.EVENTS, versioned.initial, dataset.KIND.decide, versioned.evolve)
MODEL = _aggregate("model", model.EVENTS, versioned.initial, model.KIND.decide, versioned.evolve)
DATASUBJECT = _aggregate("datasubject", datasubject.EVENTS, datasubject.initial, datasubject.decide, datasubject.evolve)
LANE = _aggregate("lane", lane.EVENTS, lane.initial, lane.decide, lane.evolve)
CATALOG = _aggregate("catalog", catalog.EVENTS, catalog.initial, catalog.decide, catalog.evolve)

AGGREGATES: dict[str, Aggregate] = {
    a.kind: a for a in (RUN, NAME, WORKSPACE, FILE, DATASET, MODEL, DATASUBJECT, LANE, CATALOG)
}
EVENT_TYPES: dict[str, Any] = {type_: cls for a in AGGREGATES.values() for type_, cls in a.events.items()}
