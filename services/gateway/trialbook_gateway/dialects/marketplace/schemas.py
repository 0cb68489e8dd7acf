"""Bodies and replies of the marketplace API, as documented."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trialbook_marketplace.config import DEFAULT_SEARCH_ALGORITHM, DEFAULT_SEARCH_BANDWIDTH

INT64 = 2**63 - 1
Text = Annotated[str, Field(max_length=1000)]
"""What is only recorded must stay small."""
TimeLimit = Annotated[
    float, Field(gt=0, le=30 * 24 * 3600, allow_inf_nan=False, description="Wall-clock limit; later, the run fails.")
]


class Dataset(BaseModel):
    """One dataset; ``path`` is the full path."""

    name: str
    path: str
    num_businesses: int
    num_customers: int


class SystemSettings(BaseModel):
    """Defaults and options."""

    default_search_algorithm: str
    default_search_bandwidth: int
    default_postgres_host: str
    default_postgres_port: int
    available_providers: list[str]


class ExperimentRequest(BaseModel):
    """An experiment to launch. The ``postgres_*``, ``db_pool_*`` and ``server_*`` fields are recorded and unused."""

    dataset: str = Field(description="Name, path below a dataset root, or absolute path inside one.")
    experiment_name: str | None = None
    search_algorithm: str = DEFAULT_SEARCH_ALGORITHM
    search_bandwidth: int = Field(DEFAULT_SEARCH_BANDWIDTH, ge=-INT64, le=INT64)
    customer_max_steps: int | None = Field(None, ge=-INT64, le=INT64)
    postgres_host: Text = "localhost"
    postgres_port: int = Field(5432, ge=-INT64, le=INT64)
    postgres_password: Text = "postgres"  # noqa: S105 - the documented default, never used
    db_pool_min_size: int = Field(2, ge=-INT64, le=INT64)
    db_pool_max_size: int = Field(10, ge=-INT64, le=INT64)
    server_host: Text = "127.0.0.1"
    server_port: int = Field(0, ge=-INT64, le=INT64)
    override: bool = False
    export_sqlite: bool = False
    export_dir: Text | None = None
    export_filename: Text | None = None
    customer_policy: Text | None = None
    business_policy: Text | None = None
    seed: int = Field(0, ge=-INT64, le=INT64)
    llm_provider: Text | None = None
    llm_model: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    llm_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    llm_reasoning_effort: Literal["minimal", "low", "medium", "high"] | Annotated[int, Field(ge=0, le=10**7)] | None = (
        None
    )
    llm_max_tokens: Annotated[int, Field(ge=1, le=10**7, description="Per answer.")] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=INT64, description="All calls together; more ends the run.")] | None = (
        None
    )
    max_cost: Annotated[float, Field(gt=0, description="US dollars of all calls; more ends the run.")] | None = None
    timeout_seconds: TimeLimit | None = None


class DatasetUpload(BaseModel):
    """A dataset in the documented fields of customers and businesses."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=100)]
    customers: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=5000)]
    businesses: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=5000)]


class DatasetRecipe(BaseModel):
    """What a generated dataset depends on; three businesses are made for each customer."""

    model_config = ConfigDict(extra="forbid")
    theme: Annotated[str, Field(max_length=100)]
    customers: Annotated[int, Field(ge=1, le=400)]
    seed: int = Field(0, ge=-INT64, le=INT64)
    name: Annotated[str, Field(max_length=100)] = ""
    shuffle_within_trio: bool = False
    rating_ladder: bool = False
    manipulation: Annotated[str | None, Field(max_length=100, description="What is said in one description.")] = None
    target: Annotated[str, Field(max_length=100, description="The business whose description it is.")] = "business_0001"


SWEPT = ("search_bandwidth", "search_algorithm", "customer_policy", "business_policy", "llm_model", "seed")
Values = Annotated[list[Text], Field(default_factory=list, max_length=1000)]
Numbers = Annotated[list[Annotated[int, Field(ge=-INT64, le=INT64)]], Field(default_factory=list, max_length=1000)]


class SweepRequest(BaseModel):
    """Lists of values; what has none keeps its default. Budgets hold for each experiment."""

    model_config = ConfigDict(extra="forbid")
    dataset: str
    search_bandwidth: Numbers
    search_algorithm: Values
    customer_policy: Values
    business_policy: Values
    llm_model: Values
    seed: Annotated[list[Annotated[int, Field(ge=-INT64, le=INT64)]], Field(min_length=1, max_length=1000)] = [0]
    customer_max_steps: Annotated[int, Field(ge=1, le=INT64)] | None = None
    llm_provider: Text | None = None
    llm_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    llm_max_tokens: Annotated[int, Field(ge=1, le=10**7)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=INT64)] | None = None
    max_cost: Annotated[float, Field(gt=0)] | None = None
    max_parallel: Annotated[int, Field(ge=1, le=1000)] = 4


class Sweep(BaseModel):
    """An accepted sweep; ``sweep`` is the id of its run."""

    sweep: str
    status: str
    experiments: int


class SweepTable(BaseModel):
    """One row per experiment begun; ``means`` are over seeds, of completed experiments."""

    sweep: str
    status: str
    dataset: str
    varied: list[str]
    rows: list[dict[str, Any]]
    means: list[dict[str, Any]]


class ExperimentStatus(BaseModel):
    """How an experiment stands; ``status`` is pending, running, completed or failed."""

    name: str
    status: str
    started_at: str | None
    completed_at: str | None
    error: str | None


class ExperimentSummary(BaseModel):
    """What an experiment has recorded so far."""

    schema_name: str
    first_activity: str | None
    last_activity: str | None
    agents_count: int
    actions_count: int
    logs_count: int
    llm_providers: list[str]


class LogEntry(BaseModel):
    """One log entry."""

    timestamp: str
    level: str
    message: str | None
    data: Any
    agent_id: str | None


class LogsPage(BaseModel):
    """Log entries in ascending order; ``total`` counts all entries of the run."""

    logs: list[LogEntry]
    total: int
    has_more: bool


class Run(BaseModel):
    """One run behind a name; ``current`` bears the name now."""

    id: str
    current: bool
    status: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    error: str | None
    seed: int
    parameters: dict[str, Any]


class Health(BaseModel):
    """``healthy``, ``degraded`` or ``unhealthy``."""

    status: str


class Detail(BaseModel):
    """Every refusal: a text, or a list of faults in body or query."""

    detail: str | list[Any]
