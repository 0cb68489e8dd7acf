"""FastStream's Prometheus and OpenTelemetry middlewares, each only when the environment asks for it.

They see every question but ``run.get``, and each costs tens of microseconds of CPU time per question, so neither is on
by default.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from trialbook_projector.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
SERVICE = "trialbook-projector"
OTLP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def middlewares(settings: Settings) -> list[Any]:
    """What the settings ask for, outermost first. Prometheus' series are served on the loopback.

    Raises ``OSError`` when the port is taken and ``ImportError`` when the SDK or the exporter is not installed.
    """
    found: list[Any] = []
    if settings.metrics_port:
        from faststream.nats.prometheus import NatsPrometheusMiddleware
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        start_http_server(settings.metrics_port, addr=HOST, registry=registry)
        log.info("metrics are served on http://%s:%d", HOST, settings.metrics_port)
        found.append(NatsPrometheusMiddleware(registry=registry, app_name=SERVICE))
    if settings.traces:
        from faststream.nats.opentelemetry import NatsTelemetryMiddleware

        found.append(NatsTelemetryMiddleware(tracer_provider=_provider(settings.traces)))
    return found


def _provider(exporter: str) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    target = ConsoleSpanExporter() if exporter == "console" else importlib.import_module(OTLP).OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(target))
    return provider
