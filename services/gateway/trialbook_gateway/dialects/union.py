"""One OpenAPI document for the root: the native API and the documented root paths of every dialect."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from trialbook_gateway.dialects.claims import Claim
from trialbook_gateway.dialects.dialect import Dialect

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_SCHEMAS = "#/components/schemas/"


def union(native: Callable[[], dict[str, Any]], dialects: Iterable[Dialect]) -> Callable[[], dict[str, Any]]:
    """A function that builds the union once; a shared operation is described with ``oneOf`` for body and reply."""
    built: dict[str, Any] = {}
    listed = list(dialects)

    def document() -> dict[str, Any]:
        if not built:
            joined = copy.deepcopy(native())
            for dialect in listed:
                _add(joined, dialect)
            built.update(joined)
        return built

    return document


def _add(joined: dict[str, Any], dialect: Dialect) -> None:
    own = _renamed(copy.deepcopy(dialect.openapi()), dialect.system.capitalize())
    joined.setdefault("components", {}).setdefault("schemas", {}).update(own.get("components", {}).get("schemas", {}))
    paths = joined.setdefault("paths", {})
    for path, item in own.get("paths", {}).items():
        for method, operation in item.items():
            if method not in _METHODS or not _claimed(dialect.claims, method, path):
                continue
            operation["tags"] = [dialect.system]
            operation["operationId"] = f"{dialect.system}_{operation.get('operationId', method)}"
            there = paths.setdefault(path, {})
            there[method] = _merged(there[method], operation) if method in there else operation


def _claimed(claims: Iterable[Claim], method: str, path: str) -> bool:
    """Templates match like paths: a parameter's spelling is one segment."""
    return any(c.rank[0] and c.matches("http", path) and c.allows(method.upper()) for c in claims)


def _renamed(value: Any, prefix: str) -> Any:
    """Give every component schema, and every reference to it, the dialect's name in front."""
    if isinstance(value, dict):
        renamed = {key: _renamed(entry, prefix) for key, entry in value.items()}
        reference = renamed.get("$ref")
        if isinstance(reference, str) and reference.startswith(_SCHEMAS):
            renamed["$ref"] = _SCHEMAS + prefix + reference.removeprefix(_SCHEMAS)
        if isinstance(schemas := renamed.get("schemas"), dict) and "paths" not in renamed:
            renamed["schemas"] = {prefix + name: schema for name, schema in schemas.items()}
        return renamed
    return [_renamed(entry, prefix) for entry in value] if isinstance(value, list) else value


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    merged = {**first, "tags": [*first.get("tags", []), *second["tags"]]}
    named = {(p["name"], p["in"]) for p in first.get("parameters", ())}
    others = [p for p in second.get("parameters", ()) if (p["name"], p["in"]) not in named]
    merged["parameters"] = [*first.get("parameters", ()), *others]
    if "requestBody" in first or "requestBody" in second:
        bodies = [operation["requestBody"] for operation in (first, second) if "requestBody" in operation]
        content = _one_of([body.get("content", {}) for body in bodies])
        merged["requestBody"] = {"content": content, "required": len(bodies) == 2}
    responses = {**second.get("responses", {}), **first.get("responses", {})}
    for status in set(first.get("responses", {})) & set(second.get("responses", {})):
        both = [operation["responses"][status] for operation in (first, second)]
        responses[status] = {**both[0], "content": _one_of([reply.get("content", {}) for reply in both])}
    return {**merged, "responses": responses}


def _one_of(contents: list[dict[str, Any]]) -> dict[str, Any]:
    """Media type -> schema, as ``oneOf`` where several describe the same one."""
    joined: dict[str, Any] = {}
    for media_type in {name: None for content in contents for name in content}:
        schemas: list[Any] = []
        for content in contents:
            schema = content.get(media_type, {}).get("schema")
            for option in (schema or {}).get("oneOf", [schema]) if schema else []:
                if option not in schemas:
                    schemas.append(option)
        joined[media_type] = {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}
    return joined
