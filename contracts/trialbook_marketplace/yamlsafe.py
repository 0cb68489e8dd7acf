"""One YAML document as plain data, read strictly: no aliases, tags or duplicate keys, limited size and depth."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

MAX_BYTES = 262_144
MAX_DEPTH = 8
MAX_NODES = 20_000

_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)

_FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """The text is not an acceptable document; the message says why, on one line."""


class _StrictConstructor(yaml.constructor.SafeConstructor):
    """Safe construction that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base class, after comparing the constructed keys."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise YamlError(f"merge keys are not allowed (line {key_node.start_mark.line + 1})")
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise YamlError(f"duplicate key {key!r} in line {key_node.start_mark.line + 1}")
                seen.add(key)
        return super().construct_mapping(node, deep)


def load_document(raw: bytes) -> Any:
    """The only document in ``raw`` (UTF-8, at most ``MAX_BYTES``) as plain data; raises ``YamlError``."""
    if len(raw) > MAX_BYTES:
        raise YamlError(f"larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlError(f"not valid UTF-8 at byte {error.start}") from None
    try:
        return _construct(text)
    except yaml.YAMLError as error:
        raise YamlError(_one_line(error)) from None
    except YamlError:
        raise
    except (ValueError, LookupError, OverflowError, AttributeError) as error:
        # Scalars that look like a number or a date but are none: "2024-99-99", an integer of 10,000 digits.
        raise YamlError(f"unreadable value: {error}") from None


def _construct(text: str) -> Any:
    _check_shape(text)
    node = yaml.compose(text, Loader=_FastLoader)
    if node is None:
        raise YamlError("the file is empty")
    return _StrictConstructor().construct_document(node)


def _check_shape(text: str) -> None:
    """Walk the events before anything is built, so that a hostile document costs only its length."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=_FastLoader):
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(f"aliases are not allowed{_place(event)}")
        if getattr(event, "tag", None) is not None:
            raise YamlError(f"tags are not allowed{_place(event)}")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise YamlError("more than one document in the file")
        elif isinstance(event, _OPENING):
            depth += 1
            nodes += 1
            if depth > MAX_DEPTH:
                raise YamlError(f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, _CLOSING):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
        if nodes > MAX_NODES:
            raise YamlError(f"more than {MAX_NODES} values")


def _place(event: yaml.Event) -> str:
    return f" (line {event.start_mark.line + 1})" if event.start_mark else ""


def _one_line(error: yaml.YAMLError) -> str:
    return "not valid YAML: " + " ".join(str(error).split())
