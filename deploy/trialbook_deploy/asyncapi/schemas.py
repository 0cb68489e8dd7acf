"""JSON Schemas of the contracts' structs, and what all channels share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

REF = "#/components/schemas/{name}"
PARAMETERS = {
    "workspace": "The workspace's name; in a question `_` means all of them.",
    "id": "The id of the run, file, dataset, model, name or workspace: 32 hex digits.",
    "run": "The run's id: 32 hex digits.",
    "pool": "The pool of runners that the run waits for.",
    "priority": "high, normal or low.",
}


def schemas(types: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A schema for each type, and the components that they refer to."""
    found, components = msgspec.json.schema_components(types, ref_template=REF)
    return list(found), dict(components)


def ref(*path: str) -> dict[str, str]:
    """A reference inside the document."""
    return {"$ref": "/".join(("#", *path))}


def parameters(address: str) -> dict[str, Any]:
    """Descriptions of the parameters in an address. Raises ``KeyError`` for one that is not described."""
    return {name: {"description": PARAMETERS[name]} for name in re.findall(r"{(\w+)}", address)}


def summary(cls: type[Any]) -> str:
    """The docstring on one line."""
    return " ".join((cls.__doc__ or "").split())
