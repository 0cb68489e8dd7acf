"""One JSON Schema per event version, each in a document of its own: what the AsyncAPI document says, for validators."""

from __future__ import annotations

import json
import re
from typing import Any

from trialbook_deploy.asyncapi import document

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:trialbook:schema:{type}"
SUFFIX = ".event"
_COMPONENT = re.compile(r"#/components/schemas/(.+)")


def event_schemas() -> dict[str, dict[str, Any]]:
    """Event type with its version -> JSON Schema of the whole CloudEvent."""
    components = document()["components"]
    found = {}
    for key, message in sorted(components["messages"].items()):
        if not key.endswith(SUFFIX):
            continue
        definitions: dict[str, Any] = {}
        schema = _own(message["payload"], components["schemas"], definitions)
        found[message["name"]] = {
            "$schema": DIALECT, "$id": ID.format(type=message["name"]), "title": message["title"],
            "description": message["summary"], **schema, "$defs": dict(sorted(definitions.items())),
        }  # fmt: skip
    return found


def text_of(schema: dict[str, Any]) -> str:
    """A schema as it is committed and served."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _own(schema: Any, components: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The schema with its references turned to ``$defs``, which are filled on the way."""
    if isinstance(schema, list):
        return [_own(part, components, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(named := schema.get("$ref"), str) and (match := _COMPONENT.fullmatch(named)):
        name = match[1]
        if name not in definitions:
            definitions[name] = {}  # before it is followed: schemas may speak of themselves
            definitions[name] = _own(components[name], components, definitions)
        return {"$ref": f"#/$defs/{name}"}
    return {key: _own(part, components, definitions) for key, part in schema.items()}
