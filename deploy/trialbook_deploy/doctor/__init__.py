"""What `trialbook doctor` looks at: this machine, language models, the NATS server and its streams, the services."""

from __future__ import annotations

import os

from trialbook.errors import Refusal
from trialbook.log.nats import connect
from trialbook_deploy.doctor import machine, models, server, services
from trialbook_deploy.doctor.finding import Finding, fail, warn
from trialbook_deploy.target import Target

CONNECT_SECONDS = 3.0


async def examine(target: Target) -> list[Finding]:
    """Every check that can be made of a target, in the order of the report."""
    findings = [*machine.check_machine(target.data_dir), *models.check_models(os.environ)]
    if target.url is None and target.nats_url is None:
        text = f"no stack runs on {target.data_dir}"
        return [*findings, warn("stack", text, "Start one with `trialbook up`, or name one with --url and --nats-url.")]
    if target.nats_url is None:
        text = "the address of NATS is not known: server, streams, projector and runners were not looked at"
        findings.append(warn("nats", text, "Give --nats-url, or run this on the machine of the stack."))
    else:
        findings += await _connected(target.nats_url, target.nats_monitor_url)
    if target.url is not None:
        findings.append(await services.gateway(target.url))
    return findings


async def _connected(nats_url: str, monitor_url: str | None) -> list[Finding]:
    try:
        nc = await connect(nats_url, name="trialbook-doctor", wait_s=CONNECT_SECONDS)
    except Refusal as refusal:
        return [fail("nats", refusal.detail, "Start it, or correct the address.")]
    try:
        found = await server.check_server(nc, monitor_url)
        return [*found, *await services.projector(nc), *await services.ledger(nc), *await services.runners(nc)]
    finally:
        await nc.close()
