"""The services: gateway, projector and runners, asked themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import msgspec
from nats.aio.client import Client

from trialbook import subjects
from trialbook.asking import NatsAsk
from trialbook.clock import SystemClock
from trialbook.errors import Refusal
from trialbook.log.tail import Tail
from trialbook.presence import MISSING_AFTER_S, RunnerInfo
from trialbook.proofs import LedgerInfo, LedgerState
from trialbook.queries import Health, ProjectorHealth
from trialbook.streams import PRESENCE
from trialbook_deploy.doctor.finding import Finding, fail, ok, size_text, warn
from trialbook_deploy.network import is_loopback

ASK_SECONDS = 3.0
LAG_WARN_MESSAGES = 10_000
PRESENCE_SECONDS = 1.0
FORGOTTEN_AFTER_S = 3600.0  # a runner that fell silent longer ago is history


async def gateway(url: str) -> Finding:
    """Whether the gateway calls itself ready."""
    remedy = "See what `trialbook up` says about the gateway."
    try:
        parts = urlsplit(url)  # no proxy of the environment knows this machine's own addresses
        async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=not is_loopback(parts.hostname or "")) as http:
            reply = await http.get(f"{url.rstrip('/')}/health/ready")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return fail("gateway", f"{url} does not answer: {str(error) or type(error).__name__}", remedy)
    if '"ledger":"unhealthy"' in reply.text.replace(" ", ""):
        return fail("gateway", f"{url} refuses everything: the ledger is damaged", "See the line on the ledger.")
    if reply.status_code != httpx.codes.OK:
        return fail("gateway", f"{url} is not ready ({reply.status_code}): {reply.text[:200]}", remedy)
    return ok("gateway", f"{url} is ready")


async def ledger(nc: Client) -> list[Finding]:
    """Whether the ledger holds what was written, as the projector's verification has found."""
    try:
        answer = await NatsAsk(nc).ask("_", LedgerState(), timeout_s=ASK_SECONDS)
    except Refusal:
        return []  # the projector's own finding says why
    info = msgspec.json.decode(answer.result or b"{}", type=LedgerInfo)
    if info.state == "damaged":
        return [fail("ledger", info.why, "Stop the stack and restore the data from a backup; see docs/audit.md.")]
    signed = f"{info.signed:,} of {info.size:,} facts are signed" if info.key else "nothing is signed"
    if info.state == "verifying":
        return [ok("ledger", f"{info.checked:,} of {info.total:,} facts verified since the start; {signed}")]
    return [ok("ledger", f"verified at {info.verified_at}; {signed}")]


async def projector(nc: Client) -> list[Finding]:
    """Whether a projector answers, how far it is behind, and what it could not read."""
    try:
        answer = await NatsAsk(nc).ask("_", Health(), timeout_s=ASK_SECONDS)
    except Refusal as refusal:
        return [fail("projector", refusal.detail, "See what `trialbook up` says about the projector.")]
    assert answer.result is not None
    health = msgspec.json.decode(answer.result, type=ProjectorHealth)
    text = (
        f"version {health.version}, facts up to {health.facts:,}, signals up to {health.signals:,}, "
        f"database {size_text(health.database_bytes)}"
    )
    lag = health.lag_facts + health.lag_signals
    lag_text = f"{health.lag_facts:,} facts and {health.lag_signals:,} signal messages waiting"
    findings = [ok("projector", text)]
    if lag > LAG_WARN_MESSAGES:
        remedy = (
            "It catches up by itself; while it does, lists and logs are behind. If it grows, give it a faster disk."
        )
        findings.append(warn("projector lag", lag_text, remedy))
    else:
        findings.append(ok("projector lag", lag_text))
    if health.parked:
        remedy = "Its log names them. After an update of trialbook, `trialbook rebuild` reads them again."
        findings.append(warn("parked events", f"{health.parked} events could not be read and were put aside", remedy))
    return findings


async def runners(nc: Client) -> list[Finding]:
    """Which runners are alive, what they offer, and which workloads of theirs are broken."""
    alive, missing = await _presence(nc)
    remedy = "Start one: `trialbook up --runners 1`."
    if not alive:
        return [fail("runners", "no runner is alive; submitted runs wait in the queue", remedy)]
    findings = []
    for info in alive:
        pools = ", ".join(f"{name} {pool.busy}/{pool.slots}" for name, pool in sorted(info.pools.items()))
        text = f"{info.state}; busy slots: {pools or 'none'}; workloads: {', '.join(sorted(info.workloads)) or 'none'}"
        findings.append(ok(f"runner {info.name}", f"{text}; sandbox: {info.sandbox or 'none'}"))
        findings += [
            warn(f"workload {name}", f"{info.name} cannot load it: {why}", "Repair or uninstall the package it is in.")
            for name, why in sorted(info.broken.items())
        ]
    if names := silent(alive, missing):
        remedy = "Their runs are taken over when their leases run out."
        findings.append(warn("missing runners", f"{', '.join(names)} stopped answering without saying goodbye", remedy))
    return findings


def silent(alive: list[RunnerInfo], missing: list[RunnerInfo]) -> list[str]:
    """Names of the missing ones; one that was started again under its name is not missed."""
    return sorted({info.name for info in missing} - {info.name for info in alive})


async def _presence(nc: Client) -> tuple[list[RunnerInfo], list[RunnerInfo]]:
    """The last words of the runners: of those alive, and of those that fell silent."""
    now = SystemClock().now()
    alive: list[RunnerInfo] = []
    missing: list[RunnerInfo] = []
    async with Tail(nc, PRESENCE, [subjects.presence("runner", "*")], after=0) as tail:
        while batch := await tail.next(timeout_s=PRESENCE_SECONDS):
            for message in batch:
                info = msgspec.json.decode(message.data, type=RunnerInfo)
                if info.state == "stopped":
                    continue
                age_s = (now - datetime.fromtimestamp(message.time_ns / 1e9, UTC)).total_seconds()
                if age_s <= FORGOTTEN_AFTER_S:
                    (missing if age_s > MISSING_AFTER_S else alive).append(info)
            if tail.pending == 0:
                break
    latest = {info.id: info for info in alive}
    return sorted(latest.values(), key=lambda info: info.name), [one for one in missing if one.id not in latest]
