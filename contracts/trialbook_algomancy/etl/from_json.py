"""Tables from JSON: a list of objects, or nested lists of objects that become tables of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trialbook_algomancy.data_tables import decode
from trialbook_algomancy.etl.source import Content, Extracted, ExtractionFailed, Limits, check_size, opened
from trialbook_algomancy.schemas import Group, Schema

Record = dict[str, Any]
_BOM = b"\xef\xbb\xbf"


def read_json(content: Content, schema: Schema, limits: Limits) -> dict[str, Extracted]:
    """The tables of the schema. Raises ``Unreadable`` for no JSON, ``ExtractionFailed`` for another structure."""
    root = decode(opened(content).removeprefix(_BOM))
    name = f"{schema.file_name}.json"
    if not schema.groups:
        return {schema.file_name: _table([_flat(record) for record in _records(root, name)], limits)}
    records = _records(_only_list(root, name), name)
    return {f"{schema.file_name}.{group.name}": _group(schema, group, records, limits) for group in schema.groups}


def _only_list(root: object, name: str) -> object:
    """The root's list, or the only list that is a member of the root."""
    if not isinstance(root, dict):
        return root
    lists = [value for value in root.values() if isinstance(value, list)]
    if len(lists) != 1:
        raise ExtractionFailed(f"{name} must hold a list of objects, or an object with exactly one list")
    return lists[0]


def _records(value: object, name: str) -> list[Record]:
    if not isinstance(value, list):
        raise ExtractionFailed(f"{name} must hold a list of objects")
    for number, record in enumerate(value):
        if not isinstance(record, dict):
            raise ExtractionFailed(f"{name}: item {number} is no object")
    return value


def _flat(record: Record) -> Record:
    """Nested objects as columns ``outer.inner``; lists stay one cell."""
    if dict not in map(type, record.values()):
        return record
    flat: Record = {}
    _flatten(record, "", flat)
    return flat


def _flatten(record: Record, prefix: str, flat: Record) -> None:
    for key, value in record.items():
        if type(value) is dict:
            _flatten(value, f"{prefix}{key}.", flat)
        else:
            flat[prefix + key] = value


def _table(records: list[Record], limits: Limits) -> Extracted:
    """Columns in the order in which they first appear; a record without one has null there."""
    names: dict[str, None] = {}
    for record in records:
        if record.keys() - names.keys():
            names.update(dict.fromkeys(record))
            check_size(limits, len(names), len(records))
    return Extracted({name: [record.get(name) for record in records] for name in names}, len(records))


def _group(schema: Schema, group: Group, roots: list[Record], limits: Limits) -> Extracted:
    peeled = {path for other in schema.groups if (path := _below(group.source_path, other.source_path))}
    rows = _children(schema, group, roots) if group.source_path else map(_flat, roots)
    table = _table(list(rows), limits)
    kept = {name: cells for name, cells in table.columns.items() if name not in peeled}
    return Extracted(kept, table.length)


def _below(path: str, other: str) -> str:
    """The rest of the other path, if it goes on where this one ends."""
    start = f"{path}." if path else ""
    return other[len(start) :] if other.startswith(start) and other != path else ""


def _children(schema: Schema, group: Group, roots: list[Record]) -> Iterator[Record]:
    """Flat objects of the nested lists, with the keys of the root record that they point to."""
    root = next(other for other in schema.groups if not other.source_path)
    parent = f"{schema.file_name}.{root.name}"
    keys = [
        (column.name, column.foreign_key[1])
        for column in group.columns
        if column.foreign_key is not None and column.foreign_key[0] in {parent, root.name}
    ]
    path = group.source_path.split(".")
    for record in roots:
        flat_root = _flat(record) if keys else {}
        given = {column: flat_root.get(key) for column, key in keys}
        for child in _walk(record, path, f"{schema.file_name}.json: '{group.source_path}'"):
            yield given | _flat(child) if given else _flat(child)


def _walk(value: object, path: list[str], where: str) -> Iterator[Record]:
    """The objects of the list at the path, through any lists on the way; what is absent or null has none."""
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, path, where)
    elif isinstance(value, dict) and path:
        found = value.get(path[0])
        if len(path) == 1 and found is not None and not isinstance(found, list):
            raise ExtractionFailed(f"{where} is no list")
        if found is not None:
            yield from _walk(found, path[1:], where)
    elif isinstance(value, dict):
        yield value
    else:
        raise ExtractionFailed(f"{where} holds something that is no object")
