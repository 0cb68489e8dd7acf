"""Numbers for Prometheus and, when asked for by ``OTEL_*``, spans for OpenTelemetry."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trialbook_gateway.tracing import Tracing

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
__all__ = ["MEDIA_TYPE", "OPENMETRICS", "Metrics", "Telemetry"]


class Telemetry:
    """One registry per gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "trialbook_http_requests", "Finished requests.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "trialbook_http_request_seconds", "Duration of requests.", ["method", "route"],
            registry=self.registry, buckets=BUCKETS_S,
        )  # fmt: skip
        self.live_clients = Gauge("trialbook_live_clients", "Open live connections.", ["kind"], registry=self.registry)
        self.live_slow = Counter("trialbook_live_slow_clients", "Clients closed as too slow.", registry=self.registry)
        self.live_resets = Counter("trialbook_live_resets", "Taps read again after a gap.", registry=self.registry)
        self.facts = Counter("trialbook_appended_facts", "Facts appended by this gateway.", registry=self.registry)
        self.lag = Gauge(
            "trialbook_projector_lag_messages", "Messages not projected yet.", ["stream"], registry=self.registry
        )
        self.tracing = Tracing()

    def exposition(self) -> bytes:
        """The registry in Prometheus' text format."""
        return generate_latest(self.registry)


class Metrics:
    """Pure ASGI middleware that counts and times requests by route template, and opens a span when tracing is on."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Looking a series up by its labels costs more than counting; there are few, because routes are templates."""
        key = (method, route, status)
        series = self._series.get(key)
        if series is None:
            telemetry = self._telemetry
            series = telemetry.requests.labels(method, route, str(status)), telemetry.seconds.labels(method, route)
            self._series[key] = series
        series[0].inc()
        series[1].observe(seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._telemetry.tracing.span(scope) as span:
            try:
                await self._app(scope, receive, observed)
            finally:
                method, route = _method(scope), _route(scope)
                self._count(method, route, status, perf_counter() - began)
                span.end(method, route, status)


def _method(scope: Scope) -> str:
    known = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    return scope["method"] if scope["method"] in known else "OTHER"


def _route(scope: Scope) -> str:
    """The template of the route that answered: few values, whatever strangers ask for."""
    path = getattr(scope.get("route"), "path", None)
    return str(path) if path else "unmatched"
