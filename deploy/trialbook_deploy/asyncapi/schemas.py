"""JSON Schemas of the contracts' structs, and what all channels share."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable
from functools import cache
from types import UnionType
from typing import Any

import msgspec

from trialbook.envelope import Event

REF = "#/components/schemas/{name}"
PARAMETERS = {
    "workspace": "The workspace's name; in a question `_` means all of them.",
    "id": "The id of the run, file, dataset, model, name or workspace: 32 hex digits.",
    "run": "The run's id: 32 hex digits.",
    "pool": "The pool of runners that the run waits for.",
    "priority": "high, normal or low.",
    "upload": "A name of one's own for the upload: 1 to 64 letters, digits, - and _.",
    "number": "Which part, from 0.",
    "stream": "FACTS or SIGNALS.",
    "consumer": "A consumer of one's own: `<user>@<name>`, as `consumer.create` answers it.",
}


def schemas(types: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A schema for each type, and the components that they refer to."""
    wanted = [_describable(type_) for type_ in types]
    found, components = msgspec.json.schema_components(wanted, ref_template=REF)
    return list(found), dict(components)


@cache
def _describable(type_: Any) -> Any:
    """The type, or an equal one in which ``Event`` is called so that it can be described: msgspec writes no schema for
    the default of ``data``, and the channels of facts have an ``Event`` that leaves ``data`` to each message.
    """
    if type_ is Event:
        members = [_member(field, field.type, _none) for field in msgspec.structs.fields(Event)]
        return msgspec.defstruct("WholeEvent", members, namespace={"__doc__": Event.__doc__})
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        fields = msgspec.structs.fields(type_)
        changed = [_describable(field.type) for field in fields]
        if all(new is field.type for new, field in zip(changed, fields, strict=True)):
            return type_
        members = [_member(field, new, field.default_factory) for field, new in zip(fields, changed, strict=True)]
        return msgspec.defstruct(type_.__name__, members, namespace={"__doc__": type_.__doc__})
    if not (arguments := typing.get_args(type_)) or typing.get_origin(type_) is typing.Literal:
        return type_
    new = tuple(_describable(argument) for argument in arguments)
    if all(one is other for one, other in zip(new, arguments, strict=True)):
        return type_
    origin = typing.get_origin(type_)
    return typing.Union[new] if origin in (typing.Union, UnionType) else origin[new]  # noqa: UP007 -- made at run time


def _member(field: Any, type_: Any, factory: Any) -> tuple[Any, ...]:
    if field.required:
        return (field.name, type_)
    if isinstance(field.default, msgspec.Raw) or field.default is msgspec.NODEFAULT:
        return (field.name, type_, msgspec.field(default_factory=factory))
    return (field.name, type_, field.default)


def _none() -> None:
    """A factory stands for "not required" without a default that would have to be written."""


def ref(*path: str) -> dict[str, str]:
    """A reference inside the document."""
    return {"$ref": "/".join(("#", *path))}


def parameters(address: str) -> dict[str, Any]:
    """Descriptions of the parameters in an address. Raises ``KeyError`` for one that is not described."""
    return {name: {"description": PARAMETERS[name]} for name in re.findall(r"{(\w+)}", address)}


def summary(cls: type[Any]) -> str:
    """The docstring on one line."""
    return " ".join((cls.__doc__ or "").split())
