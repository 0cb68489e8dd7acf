"""Bodies and replies of the documented routes. Unknown members of bodies are ignored, as the original does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Text = Annotated[str, Field(min_length=1)]
ScenarioStatus = Literal["created", "queued", "processing", "complete", "failed"]


class SessionCreate(BaseModel):
    """A new session."""

    display_name: Text


class SessionCopy(BaseModel):
    """The name of the copy."""

    new_display_name: Text


class SessionRename(BaseModel):
    """Another name."""

    display_name: Text


class ScenarioCreate(BaseModel):
    """A scenario: which algorithm on which dataset. Parameters that are not given keep their defaults."""

    tag: Text
    dataset_key: Text
    algo_name: Text
    algo_params: dict[str, Any] | None = None
    data_params: dict[str, Any] | None = None


class Derive(BaseModel):
    """The key of the derived dataset."""

    new_key: Text


class Detail(BaseModel):
    """A refusal: a text, or for wrong types a list of faults."""

    detail: str | list[dict[str, Any]]


class Session(BaseModel):
    """A session."""

    id: str
    display_name: str


class SessionList(BaseModel):
    """All sessions in creation order, and the id of the first one."""

    sessions: list[Session]
    default: str | None


class Health(BaseModel):
    """How the service is."""

    status: str
    title: str
    sessions: list[Session]


class Algorithms(BaseModel):
    """Names in registration order."""

    algorithms: list[str]


class Parameters(BaseModel):
    """A parameter set: one descriptor per parameter."""

    name: str
    parameters: list[dict[str, Any]]


class Kpis(BaseModel):
    """Keys in registration order."""

    kpis: list[str]


class Kpi(BaseModel):
    """One KPI of a scenario; the value is -9999999999 before it is computed and null for NaN."""

    name: str
    better_when: Literal["HIGHER", "LOWER", "AT_LEAST", "AT_MOST"]
    unit: str
    value: float | None
    threshold: float | None


class Algorithm(BaseModel):
    """``parameters`` is JSON: the name and all parameters."""

    name: str
    parameters: str


class Scenario(BaseModel):
    """A scenario with its KPIs and result."""

    id: str
    tag: str
    input_data_id: str
    kpis: dict[str, Kpi]
    algorithm: Algorithm
    data_parameters: dict[str, Any]
    status: ScenarioStatus
    result: dict[str, Any] | None


class ScenarioState(BaseModel):
    """Where a scenario stands; ``progress`` in percent."""

    id: str
    tag: str
    status: ScenarioStatus
    progress: float


class Keys(BaseModel):
    """Keys of all datasets in the order in which they came."""

    keys: list[str]


class Loaded(BaseModel):
    """What came of an upload; the header ``X-Etl-Load`` names the load, which has all messages."""

    dataset_name: str
    success: bool
    keys: list[str]


class Message(BaseModel):
    """One finding of a load; ``row`` is zero-based."""

    severity: Literal["INFO", "WARNING", "ERROR", "CRITICAL"]
    message: str
    table: str | None
    column: str | None
    row: int | None
    code: str | None


class Messages(BaseModel):
    """What the load of a dataset had to say."""

    messages: list[Message]


class Load(BaseModel):
    """One load, also a failed one."""

    id: str
    status: str
    dataset_name: str
    success: bool
    counts: dict[str, int]
    messages: list[Message]
    files: list[dict[str, Any]]
    error: str | None
    created_at: str
    finished_at: str | None


class Summary(BaseModel):
    """One line of the light list; times are RFC 3339 or null."""

    id: str
    tag: str
    input_data_key: str
    algorithm: str
    data_parameters: dict[str, Any]
    status: ScenarioStatus
    progress: float
    created_at: str
    run_started_at: str | None
    run_finished_at: str | None
    result_available: bool
    kpis: dict[str, float | None]


class SummaryPage(BaseModel):
    """A page; ``next_cursor`` null at the end."""

    items: list[Summary]
    next_cursor: str | None


class Execution(BaseModel):
    """One execution of a scenario."""

    number: int
    status: ScenarioStatus
    started_at: str | None
    finished_at: str | None
    duration_s: float | None
    seed: int
    runner: str | None
    kpis: dict[str, float | None]
    result: dict[str, Any] | None


class Executions(BaseModel):
    """All executions of a scenario, the first one first."""

    runs: list[Execution]
