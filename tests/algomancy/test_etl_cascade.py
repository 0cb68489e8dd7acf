"""Cascade drops and joins, by example and against the plainest implementation there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tests.algomancy.etl_files import Rows, load_csvs
from trialbook_algomancy.etl import transform
from trialbook_algomancy.etl.keys import Relation, relations
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.etl.transform import CascadeDrop, Join
from trialbook_algomancy.schemas import Column

Declared = Mapping[str, tuple[Column, ...]]


def told(messages: tuple[Message, ...]) -> list[str]:
    assert {(message.severity, message.code) for message in messages} <= {
        (Severity.ERROR, f"CASCADE_{rule}_DROP") for rule in ("ORPHAN", "REQUIRED_CHILD", "PARTIAL_LOSS")
    }
    return [message.message for message in messages]


def test_drops_go_on_until_nothing_changes() -> None:
    orders = (Column("id"), Column("customer", foreign_key=("customers", "id"), parent_requires_child=True))
    lines = (Column("n"), Column("order", foreign_key=("orders", "id"), track_partial_loss=True),
             Column("sku", foreign_key=("skus", "id")))  # fmt: skip
    files: dict[str, Rows] = {
        "customers": [["id"], ["c1"], ["c2"], ["c3"]],
        "orders": [["id", "customer"], ["o1", "c1"], ["o2", "c2"], ["o3", ""], ["o4", "gone"]],
        "skus": [["id"], ["s1"]],
        "lines": [["n", "order", "sku"], [1, "o1", "s1"], [2, "o1", "none"], [3, "o2", "s1"], [4, "o3", ""]],
    }
    declared = {"customers": (Column("id"),), "orders": orders, "skus": (Column("id"),), "lines": lines}
    outcome = load_csvs(files, declared, checks=(), transformers=(CascadeDrop(),))
    assert told(outcome.messages) == [
        "1 row(s) dropped from 'orders' by CASCADE_ORPHAN_DROP on relation orders.customer->customers.id",
        "1 row(s) dropped from 'lines' by CASCADE_ORPHAN_DROP on relation lines.sku->skus.id",
        "2 row(s) dropped from 'customers' by CASCADE_REQUIRED_CHILD_DROP on relation orders.customer->customers.id",
        "1 row(s) dropped from 'orders' by CASCADE_PARTIAL_LOSS_DROP on relation lines.order->orders.id",
        "1 row(s) dropped from 'lines' by CASCADE_ORPHAN_DROP on relation lines.order->orders.id",
    ]
    kept = {name: table.iloc[:, 0].tolist() for name, table in outcome.tables.items()}
    assert kept == {"customers": ["c2"], "orders": ["o2", "o3"], "skus": ["s1"], "lines": ["3", "4"]}
    assert list(outcome.tables["lines"].index) == [0, 1]
    assert outcome.success


def test_a_chain_of_parents_falls_to_its_end() -> None:
    length = 20_000
    chain = pd.DataFrame({"id": range(length), "next": [*range(1, length), -1]})
    tables = {"t": chain}
    [message] = CascadeDrop()(tables, {"t": (Column("id"), Column("next", foreign_key=("t", "id")))})
    assert message.message.startswith("20000 row(s) dropped from 't' by CASCADE_ORPHAN_DROP")
    assert len(tables["t"]) == 0


def test_a_joint_key_and_a_parent_that_is_not_there() -> None:
    child = (
        Column("a", foreign_key=("p", "x")),
        Column("b", foreign_key=("p", "y")),
        Column("q", foreign_key=("no", "z")),
    )
    files: dict[str, Rows] = {"p": [["x", "y"], [1, 2]], "c": [["a", "b", "q"], [1, 2, 0], [2, 1, 0], [1, "", 0]]}
    outcome = load_csvs(files, {"p": (Column("x"), Column("y")), "c": child}, checks=(), transformers=(CascadeDrop(),))
    assert [(message.code, message.message) for message in outcome.messages] == [
        ("TABLE_NOT_FOUND", "Table 'no' not found."),
        ("CASCADE_ORPHAN_DROP", "1 row(s) dropped from 'c' by CASCADE_ORPHAN_DROP on relation c.a,b->p.x,y"),
    ]


KEYS = st.one_of(st.none(), st.integers(0, 3).map(str))


@st.composite
def databases(draw: st.DrawFn) -> tuple[dict[str, pd.DataFrame], Declared]:
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    declared: dict[str, tuple[Column, ...]] = {}
    for name in names:
        keys = []
        for at in range(draw(st.integers(0, 2))):
            target = (draw(st.sampled_from(names)), draw(st.sampled_from(["id", "x"])))
            keys.append(
                Column(f"f{at}", foreign_key=target, parent_requires_child=draw(st.booleans()),
                       track_partial_loss=draw(st.booleans()))
            )  # fmt: skip
        declared[name] = (Column("id"), Column("x"), *keys)
    tables = {}
    for name, columns in declared.items():
        rows = draw(st.lists(st.tuples(*[KEYS] * len(columns)), max_size=6))
        tables[name] = pd.DataFrame(rows, columns=[column.name for column in columns], dtype="string")
    return tables, declared


def naive_key(row: Any, columns: tuple[str, ...]) -> tuple[Any, ...] | None:
    values = tuple(row[column] for column in columns)
    return None if any(pd.isna(value) for value in values) else values


class Naive:
    """Rows as dictionaries, rules as loops over all pairs."""

    def __init__(self, tables: dict[str, pd.DataFrame], declared: Declared) -> None:
        self.rows = {name: list(table.to_dict("records")) for name, table in tables.items()}
        self.relations = relations(declared)
        self.first = {number: self.counts(relation) for number, relation in enumerate(self.relations)}

    def children(self, relation: Relation, parent: Any) -> int:
        key = naive_key(parent, relation.parent_columns)
        return sum(key is not None and naive_key(row, relation.columns) == key for row in self.rows[relation.child])

    def counts(self, relation: Relation) -> dict[int, int]:
        return {id(row): self.children(relation, row) for row in self.rows[relation.parent]}

    def keep(self, table: str, keep: list[bool]) -> bool:
        before = len(self.rows[table])
        self.rows[table] = [row for row, kept in zip(self.rows[table], keep, strict=True) if kept]
        return len(self.rows[table]) < before

    def orphans(self) -> Iterator[bool]:
        for relation in self.relations:
            present = {naive_key(row, relation.parent_columns) for row in self.rows[relation.parent]} | {None}
            keep = [naive_key(row, relation.columns) in present for row in self.rows[relation.child]]
            yield self.keep(relation.child, keep)

    def childless(self) -> Iterator[bool]:
        for relation in self.relations:
            if relation.parent_requires_child:
                keep = [self.children(relation, row) > 0 for row in self.rows[relation.parent]]
                yield self.keep(relation.parent, keep)

    def partial(self) -> Iterator[bool]:
        for number, relation in enumerate(self.relations):
            if relation.track_partial_loss:
                left = [
                    (self.children(relation, row), self.first[number][id(row)]) for row in self.rows[relation.parent]
                ]
                yield self.keep(relation.parent, [now in {0, first} for now, first in left])

    def settle(self) -> dict[str, list[Any]]:
        while any([*self.orphans(), *self.childless(), *self.partial()]):
            pass
        return self.rows


@settings(max_examples=120, deadline=None)
@given(databases())
def test_cascades_are_those_of_the_plain_rules(database: tuple[dict[str, pd.DataFrame], Declared]) -> None:
    tables, declared = database
    expected = Naive(tables, declared).settle()
    dropped = dict(tables)
    messages = list(CascadeDrop()(dropped, declared))
    assert {name: table.to_dict("records") for name, table in dropped.items()} == expected
    told_counts = sum(int(message.message.split(" ", 1)[0]) for message in messages)
    assert told_counts == sum(len(tables[name]) - len(rows) for name, rows in expected.items())
    assert list(CascadeDrop()(dict(dropped), dict.fromkeys(declared, ()))) == []


def join(left: pd.DataFrame, right: pd.DataFrame, **options: Any) -> pd.DataFrame:
    tables = {"l": left, "r": right}
    assert list(Join("l", "r", **options)(tables, {})) == []
    return tables["l"]


def test_a_join_names_its_columns() -> None:
    left = pd.DataFrame({"k": ["a", "b", "c"], "n": [1, 2, 3]})
    right = pd.DataFrame({"id": ["b", "a", "b"], "n": [4, 5, 6], "flag": [True, False, True]})
    joined = join(left, right, on=(("k", "id"),))
    expected = pd.DataFrame({
        "k": ["a", "b", "b", "c"], "n": pd.array([1, 2, 2, 3], dtype="int64"),
        "n_right": pd.array([5, 4, 6, None], dtype="Int64"),
        "flag": pd.array([False, True, True, None], dtype="boolean"),
    })  # fmt: skip
    assert_frame_equal(joined, expected)
    inner = join(left, right, on=(("k", "id"),), how="inner")
    assert [str(dtype) for dtype in inner.dtypes[1:]] == ["int64", "int64", "bool"]
    tables = {"l": left, "r": right}
    assert list(Join("l", "r", (("k", "id"),), into="both")(tables, {})) == []
    assert list(tables) == ["l", "r", "both"]


def test_joins_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"l": pd.DataFrame({"k": [1, 1]}), "r": pd.DataFrame({"k": [1, 1]})}
    assert [message.code for message in Join("l", "x", (("k", "k"),))(dict(tables), {})] == ["TABLE_NOT_FOUND"]
    assert [message.code for message in Join("l", "r", (("z", "k"),))(dict(tables), {})] == ["COLUMN_NOT_FOUND"]
    monkeypatch.setattr(transform, "MAX_JOINED_ROWS", 3)
    [message] = Join("l", "r", (("k", "k"),))(tables, {})
    assert (message.severity, message.message) == (Severity.CRITICAL, "The join of l and r has more than 3 rows.")
    assert len(tables["l"]) == 2


@st.composite
def join_sides(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.lists(st.tuples(KEYS, KEYS, st.integers(0, 9)), max_size=6))
    return pd.DataFrame(rows, columns=["k", "m", "v"]).astype({"k": "string", "m": "string", "v": "int64"})


@settings(max_examples=80, deadline=None)
@given(join_sides(), join_sides(), st.sampled_from(["left", "inner"]), st.sampled_from([("k",), ("k", "m")]))
def test_joins_are_those_of_the_plain_loops(
    left: pd.DataFrame, right: pd.DataFrame, how: str, names: tuple[str, ...]
) -> None:
    expected = []
    for row in left.to_dict("records"):
        key = naive_key(row, names)
        matches = [
            other["v"] for other in right.to_dict("records") if key is not None and naive_key(other, names) == key
        ]
        expected += [(row["v"], value) for value in matches] or ([(row["v"], None)] if how == "left" else [])
    joined = join(left, right, on=tuple((name, name) for name in names), how=how)
    assert list(joined["v"]) == [value for value, _ in expected]
    assert [None if pd.isna(value) else value for value in joined["v_right"]] == [value for _, value in expected]
