"""What a workload author sees: ``@workload`` and ``Context``.

    from trialbook import Context, workload

    class Params(msgspec.Struct):
        rounds: int = 10

    @workload("my-experiment", params=Params, description="Throws dice.")
    async def my_experiment(ctx: Context, params: Params) -> dict[str, float]:
        for i in range(params.rounds):
            ctx.progress(i + 1, params.rounds, unit="rounds")
        return {"mean": 3.5}

Register the object as an entry point of the group ``trialbook.workloads``. The function may be sync or async; what it
returns is JSON-able and becomes the run's result.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol

import msgspec

from trialbook.domain.run.spec import Isolation
from trialbook.errors import Invalid
from trialbook.ids import parse_slug


class Cancelled(Exception):
    """Raised inside a workload when the run was cancelled; do not swallow it."""


class Paused(Exception):
    """Raised inside a workload at a checkpoint when the run is to pause; do not swallow it."""


def request_digest(request: Any) -> str:
    """sha256 (hex) of a JSON-able request, the same for every order of members."""
    return hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()


class Failure(Exception):
    """Raise it to fail a run with a stable ``code`` and a ``detail``; ``retryable`` False forbids further attempts."""

    def __init__(self, code: str, detail: str, *, retryable: bool = True, **extra: Any) -> None:
        """``extra`` members are JSON-able and stored with the error."""
        super().__init__(detail)
        self.code, self.detail, self.retryable, self.extra = code, detail, retryable, extra


EffectMode = Literal["live", "retry", "replay"]
"""``live`` takes every recorded effect, failures too; ``retry``, after the run failed, may call again where a failure
was recorded; ``replay`` never calls: what was not recorded is a divergence.
"""


class EffectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded call: sha256 of its request, the JSON-able response, and ``info`` (cost, duration) for the ledger."""

    request_digest: str
    response: Any = None
    info: dict[str, Any] = {}


class EffectSource(msgspec.Struct, frozen=True, kw_only=True):
    """Whose effects an attempt takes, and how: ``run`` is its own run, or in a replay the original."""

    mode: EffectMode
    run: str


class Context(Protocol):
    """What a running workload may do. Emitting methods never block for long and may be called from any thread."""

    run: str
    workspace: str
    attempt: int
    seed: int
    workdir: Path
    """An empty directory of this attempt's own."""
    inputs: dict[str, Path]
    """Input name -> local file."""
    checkpoint_data: Any
    """What an earlier attempt stored with ``checkpoint``; None at the first start."""
    random: Random
    """Seeded with the run's seed."""

    def shared(self, name: str) -> Any:
        """What the function that the workload names in ``shares`` makes of this input; the attempt's own to change."""
        ...

    def now(self) -> datetime:
        """Current UTC time. What the result depends on is taken through ``effect``, so that a replay sees it again."""
        ...

    def new_id(self) -> str:
        """A fresh id."""
        ...

    def log(self, message: str | None, *, level: str = "info", logger: str | None = None, data: Any = None) -> None:
        """Emit one log line."""
        ...

    def metric(self, name: str, value: float, *, index: int = 0, unit: str = "") -> None:
        """Emit one measurement."""
        ...

    def progress(self, done: float, total: float = 0.0, *, unit: str = "", message: str = "") -> None:
        """Say how far the run is."""
        ...

    def row(self, kind: str, index: int, data: Any, *, row_id: str = "") -> None:
        """Emit one row of the table ``kind``; ``index`` counts from 1, ``row_id`` is its own id if it has one."""
        ...

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested."""
        ...

    def check(self) -> None:
        """Raise ``Cancelled`` when the run was cancelled. Call it in long loops of sync code."""
        ...

    async def checkpoint(self, data: Any) -> None:
        """Store the state to resume from, durably; raises ``Paused`` when the run is to pause."""
        ...

    async def step(self, name: str, work: Callable[[], Awaitable[Any]], *, needs: tuple[str, ...] = ()) -> Any:
        """Execute a named step once per run: a step that an earlier attempt completed returns its stored result."""
        ...

    async def effect(
        self,
        key: str,
        request: Any,
        call: Callable[[], Awaitable[Any]],
        *,
        info: dict[str, Any] | None = None,
        durable: bool = True,
    ) -> Any:
        """Make a call whose outcome nobody can foresee (a service, a clock) once per run, and return its response.

            price = await ctx.effect("price/1", {"item": "tea"}, lambda: shop.ask("tea"))

        ``key`` names the call within the run, ``request`` is JSON-able and says what is asked. The JSON-able response
        is a fact before this returns; later attempts with the same key and an equal request take it instead of
        calling. A replay never calls and raises ``Failure`` (``replay_diverged``) for what was not recorded.

        With ``durable=False`` it is a fact before anything else that the attempt asks of its runner, or together with
        its verdict: for calls that cost nothing to repeat, such as a look at the clock.
        """
        ...

    async def effect_source(self) -> EffectSource:
        """Whose effects this attempt takes, and how."""
        ...

    async def find_effect(self, key: str) -> EffectRecord | None:
        """What was last recorded under ``key``, by this or an earlier attempt: for callers that compare themselves."""
        ...

    async def record_effect(self, key: str, record: EffectRecord) -> None:
        """Make a call a fact; when this returns, no later attempt needs to repeat it. Refused in a replay."""
        ...

    async def artifact(self, name: str, content: Path | bytes, *, media_type: str = "") -> str:
        """Store bytes as an artifact of the run; returns the sha256. An empty ``media_type`` is guessed from the
        name.
        """
        ...

    async def fetch(self, sha256: str, path: Path) -> None:
        """Write stored bytes, such as an artifact of an earlier attempt, to a file. Raises ``NotFound``."""
        ...

    async def child(self, workload: str, params: dict[str, Any], *, key: str, title: str = "") -> dict[str, Any]:
        """Submit a child run (once per ``key``, also over attempts), wait for its end and return its view."""
        ...


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A workload as registered. ``timeout_s`` is the default wall-clock limit of one attempt in seconds."""

    name: str
    run: Callable[[Any, Any], Any]
    params: type[Any] | None = None
    version: str = "1"
    title: str = ""
    description: str = ""
    isolation: Isolation = "process"
    pool: str = "default"
    timeout_s: float | None = None
    warm: str = ""
    """A module that every attempt imports anyway and that takes long: the runner imports it once, at the first use."""

    shares: dict[str, str] = {}
    """Input name -> ``module:function`` that makes of its bytes what many attempts need (tables, a model): the runner
    calls it once for all of them; see ``Context.shared``."""

    @property
    def is_async(self) -> bool:
        """Whether ``run`` is a coroutine function."""
        return inspect.iscoroutinefunction(self.run)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the parameters (any object when no model is given)."""
        if self.params is None:
            return {"type": "object"}
        if hasattr(self.params, "model_json_schema"):
            return dict(self.params.model_json_schema())
        schema = msgspec.json.schema(self.params)
        definitions = schema.pop("$defs", {})
        own = definitions.pop(schema["$ref"].rsplit("/", 1)[1]) if "$ref" in schema else schema
        return {**own, "$defs": definitions} if definitions else dict(own)

    def parse(self, params: dict[str, Any]) -> Any:
        """Validate parameters into the model. Raises ``Invalid`` (code ``invalid_params``)."""
        if self.params is None:
            return params
        try:
            if hasattr(self.params, "model_validate"):
                return self.params.model_validate(params)
            return msgspec.convert(params, self.params)
        except ValueError as error:
            raise Invalid("invalid_params", f"Parameters of {self.name!r}: {error}") from error


def workload(
    name: str,
    *,
    params: type[Any] | None = None,
    version: str = "1",
    title: str = "",
    description: str = "",
    isolation: Isolation = "process",
    pool: str = "",
    timeout_s: float | None = None,
    warm: str = "",
    shares: dict[str, str] | None = None,
) -> Callable[[Callable[[Any, Any], Any]], Workload]:
    """Make a function a workload. ``inline`` and ``task`` workloads get their own pools by default."""
    parse_slug(name, "workload name")

    def register(run: Callable[[Any, Any], Any]) -> Workload:
        return Workload(
            name=name, run=run, params=params, version=version, title=title or name, isolation=isolation,
            description=description or inspect.getdoc(run) or "", timeout_s=timeout_s,
            pool=pool or {"inline": "inline", "task": "task"}.get(isolation, "default"), warm=warm, shares=shares or {},
        )  # fmt: skip

    return register
