"""Language models: which providers this environment configures, and what is missing for the others."""

from __future__ import annotations

from collections.abc import Mapping

from trialbook.errors import Invalid
from trialbook.llm import default_provider, describe_providers, llm_settings
from trialbook_deploy.doctor.finding import Finding, fail, ok, warn

CHECK = "language models"


def check_models(environment: Mapping[str, str]) -> list[Finding]:
    """One line per provider that somebody began to configure, one in all when nobody did. Keys are not shown."""
    try:
        settings = llm_settings(environment)
    except Invalid as error:
        return [fail(CHECK, error.detail, "Correct or unset the variable; runners and the gateway read it too.")]
    statuses = describe_providers(settings)
    begun = [s for s in statuses if s.configured or s.name == settings.provider]
    if not begun:
        text = "no provider is configured; agents follow rules"
        return [ok(CHECK, f"{text} (set OPENAI_API_KEY and LLM_MODEL, or try `trialbook llm-mock`)")]
    chosen = default_provider(settings, statuses)
    findings = []
    for status in begun:
        where = f" at {status.base_url}" if status.base_url else ""
        role = "; used by default" if status.name == chosen else ""
        if status.usable:
            findings.append(ok(f"llm {status.name}", f"usable{where}{role}"))
        else:
            findings.append(warn(f"llm {status.name}", "; ".join(status.missing), "Set or install it, and restart."))
    if settings.model is None:
        findings.append(warn("llm model", "no default model", "Set LLM_MODEL, or name llm_model in every order."))
    else:
        findings.append(ok("llm model", settings.model))
    return findings
