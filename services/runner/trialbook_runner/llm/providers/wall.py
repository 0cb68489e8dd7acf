"""The wall around the providers' clients: their exceptions hold requests with keys, so none passes it, and neither does
an answer that cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2
import msgspec

from trialbook.clock import Clock, SystemClock
from trialbook_runner.llm.backoff import parse_retry_after
from trialbook_runner.llm.errors import CallFailed, Kind
from trialbook_runner.llm.requests import Completion

BY_STATUS: dict[int, Kind] = {
    400: "bad_request", 401: "authentication", 403: "authentication", 404: "not_found", 408: "timeout",
    409: "server_error", 413: "bad_request", 422: "bad_request", 425: "server_error", 429: "rate_limited",
}  # fmt: skip
STRUCTURED = (
    "response_format",
    "json_schema",
    "response_schema",
    "responseschema",
    "tool",
    "function call",
    "text.format",
)
"""Words of a 400 that say that the server does not take our way of enforcing a schema."""
TEXT_LIMIT = 600


async def behind_wall(call: Callable[[], Awaitable[Completion]], clock: Clock | None = None) -> Completion:
    """The result of ``call``; whatever a client raises becomes ``CallFailed`` without cause or context."""
    try:
        return checked(await call())
    except CallFailed:
        raise
    except Exception as error:  # noqa: BLE001 - nothing of a client may pass: its exceptions hold requests with keys
        failure = translated(error, clock or SystemClock())
    # Raised outside the handler, so that the client's exception is not kept as its context.
    raise failure


def checked(completion: Completion) -> Completion:
    """The same with its types enforced, which clients' models do not; a character that a stream cut in two is put
    together. Raises ``CallFailed`` and ``ValueError`` for what is no text.
    """
    if not isinstance(completion.text, str):
        raise CallFailed("malformed", "the answer is not a text")
    if not completion.text.isascii():
        text = completion.text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        completion = msgspec.structs.replace(completion, text=text)
    sound = msgspec.convert(msgspec.to_builtins(completion), Completion)
    if min(msgspec.structs.astuple(sound.usage)) < 0:
        raise CallFailed("malformed", "the answer counts fewer than no tokens")
    return sound


def translated(error: Exception, clock: Clock) -> CallFailed:
    """Sort an exception of any of the clients by its status, or by its type."""
    status = _status(error)
    text = f"{_message(error)}"[:TEXT_LIMIT]
    if status is not None:
        kind = BY_STATUS.get(status, "server_error" if status >= 500 else "bad_request")
        headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
        wait = parse_retry_after(headers.get("retry-after"), clock.now())
        lower = text.lower()
        if status == 429 and "insufficient_quota" in f"{getattr(error, 'code', '')} {lower}":
            kind = "quota"
        if status == 400 and "api_key_invalid" in lower.replace(" ", "_"):
            kind = "authentication"
        if kind == "bad_request" and any(word in lower for word in STRUCTURED):
            kind = "unsupported"
        return CallFailed(kind, f"HTTP {status}: {text}", status=status, retry_after_s=wait)
    name = type(error).__name__
    if "Authentication" in name or "Credential" in name:  # of Entra ID, before any request was sent
        return CallFailed("authentication", f"{name}: {text}")
    if isinstance(error, TimeoutError | httpx2.TimeoutException) or "Timeout" in name:
        return CallFailed("timeout", f"no answer in time ({name})")
    if isinstance(error, OSError | httpx2.TransportError) or "Connection" in name:
        cause = error.__cause__
        return CallFailed(
            "connection", f"{name}: {text or 'connection lost'}{f' ({cause})' if cause else ''}"[:TEXT_LIMIT]
        )
    return CallFailed("malformed", f"unreadable answer ({name}): {text}")


def _status(error: Exception) -> int | None:
    """OpenAI's and Anthropic's clients call it ``status_code``, Gemini's ``code``."""
    for name in ("status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _message(error: Exception) -> str:
    body: Any = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    return str(error)


def http_client(timeout_s: float, connections: int) -> httpx2.AsyncClient:
    """Connections for one provider; ``connections`` calls may be under way."""
    timeout = httpx2.Timeout(timeout_s, connect=min(10.0, timeout_s))
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx2.AsyncClient(timeout=timeout, limits=limits, follow_redirects=True)
