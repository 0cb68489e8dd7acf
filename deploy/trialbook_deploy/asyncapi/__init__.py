"""The AsyncAPI 3 document of what Trialbook says and answers on NATS."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import yaml

from trialbook.log.connect import without_password
from trialbook_deploy.asyncapi import commands, questions, taps
from trialbook_deploy.asyncapi.schemas import ref
from trialbook_projector.settings import Settings

DESCRIPTION = """What Trialbook says and answers on NATS.

Facts and signals are CloudEvents 1.0 in structured JSON mode. They are stored in the streams FACTS and SIGNALS; the
copies on `tap.>` described here are republished by the server once a message is stored. Questions are asked and
commands given by request/reply. Users from outside have keys (see docs/nats.md) and one workspace each.
"""
HEADER = "# Made by `trialbook asyncapi`. Do not edit.\n"


def document() -> dict[str, Any]:
    """The whole document: FastStream's own for the questions, and the channels of facts and signals."""
    made = questions.document("Trialbook", version("trialbook"), DESCRIPTION, without_password(Settings().nats_url))
    for channels, operations, components in (taps.channels(), commands.channels()):
        _merge(made["channels"], channels)
        _merge(made["operations"], operations)
        for kind, members in components.items():
            _merge(made["components"].setdefault(kind, {}), members)
    for server in made["servers"].values():
        server["security"] = [ref("components", "securitySchemes", name) for name in commands.SECURITY]
    return {
        **made,
        **{key: dict(sorted(made[key].items())) for key in ("channels", "operations")},
        "components": {kind: dict(sorted(members.items())) for kind, members in made["components"].items()},
    }


def text() -> str:
    """The document as YAML."""
    dumped: str = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    return HEADER + dumped


def _merge(into: dict[str, Any], members: dict[str, Any]) -> None:
    for name, member in members.items():
        if into.setdefault(name, member) != member:
            raise ValueError(f"two different things are named {name!r} in the AsyncAPI document")
