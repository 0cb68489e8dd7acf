"""The OpenAPI document: requests from pydantic, replies from the contracts' structs, every status stated."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from trialbook_gateway import problems

REF = "#/components/schemas/{name}"
REASONS = {
    200: "OK", 201: "Created", 202: "Accepted; it will happen soon", 204: "Done", 206: "The range asked for",
    304: "Not modified", 400: "Unreadable request", 401: "No or unknown token", 403: "Not allowed for this token",
    404: "Not found", 406: "No acceptable form", 408: "The body did not come",
    409: "The state does not allow it", 412: "If-Match did not hold",
    413: "Too large", 414: "Query too long", 415: "Unsupported media type", 416: "Range not satisfiable",
    422: "Invalid request", 500: "Our fault", 503: "Not available now", 504: "No answer in time",
}  # fmt: skip
COMMON = (400, 401, 403, 404, 413, 414, 422, 500, 503, 504)
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable and machine-readable."},
        "detail": {"type": "string", "description": "What is wrong and what to do."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "detail": {"type": "string"},
                    "in": {"type": "string"},
                },
            },
        },
    },
}
WORKSPACE_PARAMETER = {
    "name": "Trialbook-Workspace", "in": "header", "required": False,
    "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
    "description": "The workspace; default main. The query parameter workspace does the same.",
}  # fmt: skip
DATA_SUBJECT_PARAMETER = {
    "name": "Trialbook-Data-Subject", "in": "header", "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "description": "Whose personal data this holds: sealed in the ledger under a key that an erasure destroys.",
}  # fmt: skip
IDEMPOTENCY_PARAMETER = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "Repeating a request with the same key and body gives the first reply again.",
}  # fmt: skip
IF_MATCH_PARAMETER = {
    "name": "If-Match", "in": "header", "required": False,
    "schema": {"type": "string", "pattern": '^(\\*|"[0-9]{1,15}(-[0-9a-f]{1,8})?")$'},
    "description": "Do it only when the run still has this ETag.",
}  # fmt: skip


def ref(model: type[Any]) -> dict[str, Any]:
    """A reference to a schema among the components."""
    return {"$ref": REF.format(name=model.__name__)}


def content(model: type[Any] | None, *others: str) -> dict[str, Any]:
    """The content of a reply: JSON of a model, and other media types as plain text or bytes."""
    found: dict[str, Any] = {}
    if model is not None:
        found["application/json"] = {"schema": ref(model)}
    for media_type in others:
        found[media_type] = {"schema": {"type": "string"}}
    return found


def operation(
    *,
    ok: dict[int, dict[str, Any] | None],
    errors: tuple[int, ...] = (),
    body: type[BaseModel] | None = None,
    body_required: bool = True,
    bodies: dict[str, Any] | None = None,
    parameters: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """Keyword arguments for a route decorator. ``ok``: status -> content; ``errors``: beyond the common ones."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status, media in ok.items():
        responses[status] = {"description": REASONS[status], **({"content": media} if media else {})}
    for status in (*COMMON, *errors):
        responses[status] = {"description": REASONS[status], "content": {problems.MEDIA_TYPE: {"schema": _PROBLEM_REF}}}
    extra: dict[str, Any] = {}
    if body is not None or bodies:
        media_types = dict(bodies or {})
        if body is not None:
            media_types["application/json"] = {"schema": ref(body)}
        extra["requestBody"] = {"required": body_required, "content": media_types}
        for status in (408, 415):
            content_ = {problems.MEDIA_TYPE: {"schema": _PROBLEM_REF}}
            responses[status] = {"description": REASONS[status], "content": content_}
    if parameters:
        extra["parameters"] = list(parameters)
    return {
        "responses": responses, "openapi_extra": extra, "status_code": next(iter(ok)), "response_class": Response,
        "response_model": None,
    }  # fmt: skip


_PROBLEM_REF = {"$ref": REF.format(name="Problem")}


def components(structs: list[type[Any]], models: list[type[BaseModel]]) -> dict[str, Any]:
    """Schemas of everything that operations refer to."""
    _, found = msgspec.json.schema_components(structs, ref_template=REF)
    for model in models:
        _, definitions = models_json_schema([(model, "validation")], ref_template="#/components/schemas/{model}")
        found.update(definitions.get("$defs", {}))
    return {**found, "Problem": PROBLEM}


def install(app: FastAPI, structs: list[type[Any]], models: list[type[BaseModel]]) -> None:
    """Give the app its document, built once at the first request for it."""
    cache: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not cache:
            cache.update(_document(app, structs, models))
        return cache

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, structs: list[type[Any]], models: list[type[BaseModel]]) -> dict[str, Any]:
    built = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    document = copy.deepcopy(built)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(components(structs, models))
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        for operation_ in item.values():
            if path.startswith("/v1"):
                operation_["security"] = [{}, {"bearer": []}]
                if any(p["name"] == "workspace" and p["in"] == "query" for p in operation_.get("parameters", ())):
                    operation_["parameters"].append(WORKSPACE_PARAMETER)
                if any(p["name"] == "Idempotency-Key" for p in operation_.get("parameters", ())):
                    operation_["parameters"].append(DATA_SUBJECT_PARAMETER)
    return document
