"""OpenTelemetry, opt-in: a span per request when an exporter is configured by ``OTEL_*`` and the SDK is installed."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from starlette.types import Scope

log = logging.getLogger(__name__)
FLUSH_MS = 1500


class Span(Protocol):
    """What the middleware says at the end of a request."""

    def end(self, method: str, route: str, status: int) -> None:
        """Name the span and note its outcome."""
        ...


class _NoSpan:
    def end(self, method: str, route: str, status: int) -> None:
        """Nothing is traced."""


class _RealSpan:
    def __init__(self, span: Any) -> None:
        self._span = span

    def end(self, method: str, route: str, status: int) -> None:
        """Name the span by its route and note the status."""
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.request.method", method)
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)


_NOTHING = _NoSpan()


def wanted() -> bool:
    """Whether the environment names an exporter."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "")
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return exporter != "none" and bool(exporter or endpoint)


class Tracing:
    """Opens spans, or does nothing at no cost."""

    def __init__(self) -> None:
        self._provider: Any = _provider() if wanted() else None
        self._tracer: Any = self._provider and self._provider.get_tracer("trialbook_gateway")

    async def close(self) -> None:
        """Export what waits, for at most a short time: the server ends with its signal, which runs no exit handlers."""
        if self._provider is not None:
            await asyncio.to_thread(self._provider.force_flush, FLUSH_MS)

    @contextmanager
    def span(self, scope: Scope) -> Iterator[Span]:
        """The span of a request, a child of its ``traceparent``; the facts it causes carry the span's own context."""
        if self._tracer is None:
            yield _NOTHING
            return
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        state = scope.setdefault("state", {})
        propagator = TraceContextTextMapPropagator()
        parent = propagator.extract({"traceparent": state.get("traceparent", "")})
        with self._tracer.start_as_current_span("request", parent, trace.SpanKind.SERVER) as span:
            carrier: dict[str, str] = {}
            propagator.inject(carrier)
            state["traceparent"] = carrier.get("traceparent", state.get("traceparent", ""))
            yield _RealSpan(span)


def _provider() -> Any:
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
    except ImportError:
        log.warning("OTEL_* asks for traces, but opentelemetry-sdk is not installed")
        return None
    exporter: SpanExporter
    if os.environ.get("OTEL_TRACES_EXPORTER") == "console":
        exporter = ConsoleSpanExporter()
    else:
        try:
            module = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ImportError:
            log.warning("OTEL_* asks for traces, but opentelemetry-exporter-otlp-proto-http is not installed")
            return None
        exporter = module.OTLPSpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "trialbook-gateway"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
