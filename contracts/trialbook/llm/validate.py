"""Check a key with the cheapest call a provider has: the list of its models. Nothing is stored, no tokens are used."""

from __future__ import annotations

import httpx
import msgspec

from trialbook.errors import Invalid
from trialbook.llm.secrets import Redactor, Secret
from trialbook.llm.settings import AZURE_API_VERSION, PROVIDERS, ProviderSettings

REJECTED = {401, 403}
BAD_KEY = "API_KEY_INVALID"
"""Gemini answers 400 with this reason."""


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """``valid`` is None when the provider did not say; ``detail`` is for the person who asked and holds no key."""

    provider: str
    valid: bool | None
    detail: str


async def validate(
    provider: str, key: Secret, settings: ProviderSettings | None = None, timeout_s: float = 10.0
) -> Validation:
    """Ask the provider whether it accepts ``key``; ``settings`` give its address. Raises ``Invalid`` for bad input."""
    if provider not in PROVIDERS:
        raise Invalid("unknown_provider", f"Unknown provider {provider[:40]!r}; choose one of {', '.join(PROVIDERS)}.")
    if not key.reveal().isascii() or not key.reveal().isprintable() or not key.reveal().strip():
        raise Invalid("invalid_key", "A key is one line of visible ASCII characters.")
    url, headers = _request(provider, key, settings or ProviderSettings(name=provider))
    redact = Redactor([key]).text
    try:
        async with httpx.AsyncClient(timeout=timeout_s) as client:
            return _verdict(provider, await client.get(url, headers=headers))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        failed = redact(f"{type(error).__name__}: {error}")
        return Validation(provider=provider, valid=None, detail=f"{provider} cannot be reached: {failed}")


def _verdict(provider: str, reply: httpx.Response) -> Validation:
    status = reply.status_code
    if reply.is_success:
        return Validation(provider=provider, valid=True, detail="The key is accepted.")
    if status in REJECTED or (status == httpx.codes.BAD_REQUEST and BAD_KEY in reply.text):
        return Validation(provider=provider, valid=False, detail=f"{provider} refuses the key (HTTP {status}).")
    return Validation(provider=provider, valid=None, detail=f"{provider} answered HTTP {status}; try again later.")


def _request(provider: str, key: Secret, settings: ProviderSettings) -> tuple[str, dict[str, str]]:
    """Address and headers; a key is never part of the address, because addresses are logged."""
    base = (settings.base_url or "").rstrip("/")
    match provider:
        case "openai":
            return f"{base or 'https://api.openai.com/v1'}/models", {"Authorization": f"Bearer {key.reveal()}"}
        case "anthropic":
            headers = {"x-api-key": key.reveal(), "anthropic-version": "2023-06-01"}
            return f"{base or 'https://api.anthropic.com'}/v1/models?limit=1", headers
        case "gemini":
            base = base or "https://generativelanguage.googleapis.com"
            return f"{base}/v1beta/models?pageSize=1", {"x-goog-api-key": key.reveal()}
        case _:
            if not base:
                raise Invalid("no_endpoint", "Azure OpenAI needs AZURE_OPENAI_ENDPOINT.")
            version = settings.api_version or AZURE_API_VERSION
            return f"{base}/openai/models?api-version={version}", {"api-key": key.reveal()}
