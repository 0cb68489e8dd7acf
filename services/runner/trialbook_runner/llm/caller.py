"""Calls of models as effects of a run: recorded, repeated on transport errors, counted, bounded, replayable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from trialbook.clock import Clock
from trialbook.llm.settings import LlmSettings
from trialbook.workload import EffectMode, Failure
from trialbook_runner.llm.accounting import BudgetExceeded, Meter
from trialbook_runner.llm.backoff import Backoff
from trialbook_runner.llm.effects import Divergence, Effect, Effects, request_difference
from trialbook_runner.llm.errors import CallFailed
from trialbook_runner.llm.prices import Prices, cost_usd
from trialbook_runner.llm.providers import Providers
from trialbook_runner.llm.requests import ChatMessage, Completion, OnText, Options, Request, resolve

Mode = EffectMode
"""``replay`` raises ``Divergence`` where the record does not help."""
Observe = Callable[[dict[str, Any]], None]
"""Told of every call, made or taken from the record, in the documented form of a call log."""


class Caller:
    """The calls of one run. Not thread-safe: it belongs to one event loop.

    A call's key is its scope and a counter within it, so it does not depend on how scopes interleave; within a scope
    calls must follow one another.
    """

    def __init__(
        self,
        providers: Providers,
        effects: Effects,
        clock: Clock,
        *,
        prices: Prices,
        random: Callable[[], float],
        mode: Mode = "live",
        meter: Meter | None = None,
        provider: str | None = None,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``provider`` is the one that calls without their own choice use; ``random`` gives jitter in [0, 1)."""
        self.meter = meter or Meter()
        self.settings: LlmSettings = providers.settings
        self._providers, self._effects, self._clock, self._prices = providers, effects, clock, prices
        self._mode, self._provider, self._random, self._sleep = mode, provider, random, sleep
        self._backoff = backoff or Backoff(repeats=self.settings.retries)
        self._counters: dict[str, int] = {}
        self._rejected: dict[str, CallFailed] = {}
        self._under_way = 0
        self._idle = asyncio.Event()

    @property
    def keys(self) -> frozenset[str]:
        """The keys asked for so far: a replay that ends with fewer than were recorded has diverged, too."""
        return frozenset(f"llm/{scope}/{n}" for scope, last in self._counters.items() for n in range(1, last + 1))

    def request(self, messages: Sequence[ChatMessage], options: Options, **output: Any) -> Request:
        """A complete request; ``output`` are its members ``output, schema_name, schema``. Raises ``CallFailed``."""
        provider, model = resolve(options, self.settings, self._provider)
        if provider is None:
            raise CallFailed("bad_request", "No LLM provider is chosen: set LLM_PROVIDER.")
        if model is None:
            raise CallFailed("bad_request", "No model is named: set LLM_MODEL.")
        ours = self.settings
        return Request(
            provider=provider,
            model=model,
            messages=list(messages),
            max_tokens=ours.max_tokens if options.max_tokens is None else options.max_tokens,
            temperature=ours.temperature if options.temperature is None else options.temperature,
            reasoning_effort=ours.reasoning_effort if options.reasoning_effort is None else options.reasoning_effort,
            **output,
        )

    async def complete(
        self,
        agent: str,
        request: Request,
        *,
        scope: str | None = None,
        on_text: OnText | None = None,
        observe: Observe | None = None,
    ) -> Completion:
        """One recorded call on behalf of ``agent``; ``scope`` defaults to the agent.

        ``on_text`` is given the answer as it is streamed, or at once when it comes from the record. Raises
        ``CallFailed``, ``BudgetExceeded`` and, in a replay, ``Divergence``.
        """
        key = self._next_key(scope or agent)
        known = await self._effects.lookup(key)
        effect = self._usable(key, known, request)
        if effect is None:
            effect = await self._recorded_call(agent, key, request, known, on_text)
        elif on_text is not None and (completion := effect.response.get("completion")):
            on_text(completion["text"])
        return self._settle(agent, request, effect, observe)

    async def _recorded_call(
        self, agent: str, key: str, request: Request, known: Effect | None, on_text: OnText | None
    ) -> Effect:
        """Make a call and record it. A budget's refusal is recorded too, once the calls under way are: it comes at the
        same place in a replay then, whatever the answers take there.
        """
        self._under_way += 1
        try:
            effect = await self._call(agent, request, on_text)
            if known is not None:
                effect.info["replaces"] = known.request_digest
            await self._effects.record(key, effect)
            return effect
        except BudgetExceeded as exceeded:
            refusal = exceeded
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        response = {"refused": {"detail": refusal.detail, "extra": refusal.extra}}
        info = {"kind": "llm_refused", "agent": agent, "provider": request.provider, "model": request.model}
        await self._effects.record(key, Effect(request_digest=request.digest(), response=response, info=info))
        raise refusal

    def _next_key(self, scope: str) -> str:
        number = self._counters[scope] = self._counters.get(scope, 0) + 1
        return f"llm/{scope}/{number}"

    def _usable(self, key: str, effect: Effect | None, request: Request) -> Effect | None:
        """The recorded effect if it may stand for this request, None to call. Raises ``Divergence`` in a replay."""
        if effect is None:
            if self._mode == "replay":
                self._require_price(request)  # without one the original made no call either
                raise Divergence(key, "no such call was recorded")
            return None
        if effect.request_digest != request.digest():
            if self._mode == "replay":
                raise Divergence(key, request_difference(effect.response.get("request") or {}, request))
            return None
        if self._mode == "retry" and "completion" not in effect.response:
            return None
        if refused := effect.response.get("refused"):
            raise BudgetExceeded(refused["detail"], **refused["extra"])
        return effect

    async def _call(self, agent: str, request: Request, on_text: OnText | None) -> Effect:
        self._require_price(request)
        started = self._clock.monotonic()
        outcome: Completion | CallFailed
        try:
            outcome, repeats = await self._repeated(request, on_text)
        except CallFailed as failure:
            outcome, repeats = failure, 0
        duration_ms = round((self._clock.monotonic() - started) * 1000, 3)
        redact = self._providers.redactor.value
        info: dict[str, Any] = {
            "kind": "llm", "agent": agent, "provider": request.provider, "model": request.model,
            "duration_ms": duration_ms, "repeats": repeats,
        }  # fmt: skip
        response: dict[str, Any] = {"request": redact(msgspec.to_builtins(request))}
        if isinstance(outcome, CallFailed):
            detail = self._providers.redactor.text(outcome.detail)
            response["error"] = {"kind": outcome.kind, "detail": detail, "status": outcome.status}
            info |= {"success": False, "error": outcome.kind}
        else:
            response["completion"] = redact(msgspec.to_builtins(outcome))
            cost = cost_usd(self._price(request, outcome.model), outcome.usage)
            usage = msgspec.to_builtins(outcome.usage)
            info |= {"success": True, "usage": usage, "cost_usd": cost}
        return Effect(request_digest=request.digest(), response=response, info=info)

    async def _repeated(self, request: Request, on_text: OnText | None) -> tuple[Completion, int]:
        """The answer and how often the call was repeated. A key that was refused once is not tried again."""
        if request.provider in self._rejected:
            rejected = self._rejected[request.provider]
            raise CallFailed(rejected.kind, rejected.detail, status=rejected.status)
        provider = self._providers.get(request.provider)
        repeat = 0
        while True:
            streamed = self._providers.redactor.stream(on_text) if on_text is not None else None
            try:
                async with self._providers.slots(request.provider), asyncio.timeout(self.settings.timeout_s):
                    # Here and not before the wait for a slot: meanwhile others have spent.
                    self.meter.check()
                    completion = await provider.complete(request, streamed)
                if streamed is not None:
                    streamed.flush()
                return completion, repeat
            except TimeoutError:
                failure = CallFailed("timeout", f"no answer in {self.settings.timeout_s:g} s")
            except CallFailed as failed:
                failure = failed
            if failure.kind == "authentication":
                self._rejected[request.provider] = failure
            # What was already handed on cannot be taken back, so a broken stream is not begun again.
            begun = streamed is not None and streamed.begun
            wait = self._backoff.delay(repeat, failure.retry_after_s, self._random)
            if not failure.transient or begun or wait is None:
                raise failure
            repeat += 1
            await self._sleep(wait)

    def _settle(self, agent: str, request: Request, effect: Effect, observe: Observe | None) -> Completion:
        """Count the call, tell the observer, and return the answer or raise the failure."""
        info, error = effect.info, effect.response.get("error")
        duration_ms = float(info.get("duration_ms", 0.0))
        completion = None if error else msgspec.convert(effect.response["completion"], Completion)
        usage = completion.usage if completion else None
        self.meter.add(agent, request.provider, request.model, usage, info.get("cost_usd"), duration_ms)
        if observe is not None:
            observe(_log_of(effect.response["request"], completion, error, duration_ms))
        if completion is None:
            assert error is not None, "an effect holds an answer or an error"
            raise CallFailed(error["kind"], error["detail"], status=error.get("status"))
        return completion

    def _price(self, request: Request, model: str) -> Any:
        own = self.settings.providers[request.provider].base_url is not None and request.provider != "azure_openai"
        find = self._prices.find
        return find(request.provider, model, own_address=own) or find(request.provider, request.model, own_address=own)

    def _require_price(self, request: Request) -> None:
        if self.meter.needs_prices and self._price(request, request.model) is None:
            detail = f"max_cost is set but the price of {request.provider} {request.model!r} is not known"
            raise Failure("llm_price_unknown", f"{detail}; add it in TRIALBOOK_LLM_PRICES.", retryable=False)


def _log_of(
    request: dict[str, Any], completion: Completion | None, error: dict[str, Any] | None, duration_ms: float
) -> dict[str, Any]:
    """The documented call log; ``request`` is the recorded one, which holds no keys."""
    names = ("max_tokens", "temperature", "reasoning_effort", "output")
    return {
        "type": "llm_call",
        "success": error is None,
        "provider": request["provider"],
        "model": request["model"],
        "duration_ms": duration_ms,
        "token_count": completion.usage.total_tokens if completion else 0,
        "error_message": error["detail"] if error else None,
        "prompt": request["messages"],
        "response": _shown(completion, request) if completion else "",
        "response_format": request["schema"],
        "api_args": {name: request[name] for name in names if request[name] is not None},
    }


def _shown(completion: Completion, request: dict[str, Any]) -> Any:
    """The answer as an object where one was asked for and given, else as text."""
    if request["schema"] is None:
        return completion.text
    try:
        return msgspec.json.decode(completion.text)
    except (msgspec.DecodeError, RecursionError):
        return completion.text
