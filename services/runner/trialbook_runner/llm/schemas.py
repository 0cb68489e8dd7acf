"""JSON Schemas in the dialects that providers accept, and the check of what came back."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec

DROPPED = frozenset({"default", "title", "$defs", "discriminator", "examples"})
STARTS = 50
"""How many opening braces are tried before a text counts as one without an object."""
BOUNDS = frozenset({"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"})
"""Not every strict mode takes these; the answer is checked against them anyway."""
GEMINI_DROPPED = frozenset({"additionalProperties", "const"})


class NotAnObject(ValueError):
    """The text holds no JSON object, or none that fits the schema; the message is written for the model."""


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without references, defaults and titles. Raises ``ValueError`` for a recursive one."""
    result = _inline(schema, schema.get("$defs", {}), ())
    assert isinstance(result, dict), "a schema is an object"
    return result


def _inline(node: Any, definitions: dict[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions, inside) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        if reference in inside:
            raise ValueError(f"the schema is recursive at {reference}")
        target = definitions[reference.rsplit("/", 1)[1]]
        return _inline(target, definitions, (*inside, reference))
    plain = {}
    for key, value in node.items():
        if key == "properties":
            plain[key] = {name: _inline(part, definitions, inside) for name, part in value.items()}
        elif key not in DROPPED:
            plain[key] = _inline(value, definitions, inside)
    return plain


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The form that strict modes demand: no further members, every member required."""
    result = _strict(inlined(schema))
    assert isinstance(result, dict), "a schema is an object"
    return result


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {
        key: {name: _strict(part) for name, part in value.items()} if key == "properties" else _strict(value)
        for key, value in node.items()
        if key not in BOUNDS
    }
    if "properties" in closed:
        closed["additionalProperties"] = False
        closed["required"] = list(closed["properties"])
    return closed


def for_gemini(schema: dict[str, Any]) -> dict[str, Any]:
    """The subset of OpenAPI that Gemini reads: ``nullable`` instead of a null type, constants as one-value enums."""
    result = _gemini(inlined(schema))
    assert isinstance(result, dict), "a schema is an object"
    return result


def _gemini(node: Any) -> Any:
    if isinstance(node, list):
        return [_gemini(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            plain[key] = {name: _gemini(part) for name, part in value.items()}
        elif key not in GEMINI_DROPPED:
            plain[key] = _gemini(value)
    if "const" in node:
        plain["enum"] = [node["const"]]
    if "enum" in plain:
        plain.setdefault("type", "string")
    choices = plain.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        del plain["anyOf"]
        others = [choice for choice in choices if choice != {"type": "null"}]
        plain |= others[0] if len(others) == 1 else {"anyOf": others}
        plain["nullable"] = True
    return plain


def in_words(schema: dict[str, Any]) -> str:
    """What to add to a prompt when the provider cannot enforce the schema."""
    return (
        "Answer with one JSON object and nothing else: no explanation, no code fence. "
        f"It must fit this JSON Schema:\n{json.dumps(inlined(schema), separators=(',', ':'))}"
    )


def parse_object(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The first JSON object in the text, checked against the schema. Raises ``NotAnObject``."""
    value = _first_object(text)
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path) or "the object"
        raise NotAnObject(f"The answer does not fit the schema at {where}: {error.message[:500]}")
    return value


def _first_object(text: str) -> dict[str, Any]:
    """Models wrap objects in fences and sentences: take the first place where one begins and ends.

    Python's own decoder finds the end and msgspec's decides: it takes no NaN, no number beyond a float and no half of a
    character, none of which could be recorded.
    """
    decoder = json.JSONDecoder(parse_int=len)  # not int, which refuses long digits by another error
    start, problem = text.find("{"), "it holds no JSON object"
    for _ in range(STARTS):
        if start < 0:
            break
        try:
            _, end = decoder.raw_decode(text, start)
            value: dict[str, Any] = msgspec.json.decode(text[start:end])
        except (ValueError, RecursionError) as error:
            problem = str(error)
        else:
            return value
        start = text.find("{", start + 1)
    raise NotAnObject(f"The answer is not valid JSON: {problem}")
