"""SQL is never put together from values.

A value formatted into a statement is an injection waiting for its user; parameters cost nothing. Names of tables and
columns cannot be parameters: where they come from our own constants, a comment `# sql: <why this is safe>` on or above
the statement says so, or the reason behind its `noqa: S608`.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.style.source import PRODUCT, Source, sample, sources

CALLS = {"execute", "executemany", "executescript", "sql", "query"}
STATEMENT = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|CREATE|DROP|ALTER|COPY|ATTACH|DETACH|WITH|PRAGMA|SET|EXPLAIN|DESCRIBE)\s"
)


def violations(source: Source) -> list[str]:
    found = {}
    for node in ast.walk(source.tree):
        suspects: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            suspects += [argument for argument in node.args[:1] if _formatted(argument)]
        if isinstance(node, ast.expr) and _formatted(node) and STATEMENT.match(_beginning(node)):
            suspects.append(node)
        for suspect in suspects:
            if not any(source.says(suspect, mark) for mark in ("sql:", "noqa: S608 --", "noqa: E501, S608 --")):
                found[suspect.lineno] = source.at(
                    suspect, "formatted SQL: use parameters, or say why with `# sql: ...`"
                )
    return list(found.values())


def _formatted(node: ast.expr) -> bool:
    """Whether a string is put together from anything that is no constant."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        operands = (node.left, node.right)
        text = any(isinstance(o, ast.JoinedStr) or _is_text(o) or _formatted(o) for o in operands)
        return text and not all(_is_text(o) for o in operands)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr in {"format", "format_map"} and _is_text(node.func.value))
    )


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _beginning(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return _beginning(node.values[0])
    if isinstance(node, ast.BinOp):
        return _beginning(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _beginning(node.func.value)
    return str(node.value) if isinstance(node, ast.Constant) else ""


def test_sql_is_not_formatted() -> None:
    found = [violation for source in sources(*PRODUCT) for violation in violations(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        'db.execute(f"select * from runs where id = {id}")',
        'db.execute("select * from " + table)',
        'db.execute("select %s" % x)',
        'db.sql("select {}".format(x))',
        'q = f"SELECT * FROM runs WHERE id = {id}"\ndb.execute(q)',
        'q = "DELETE FROM {}".format(t)',
        'q = "INSERT INTO " + t + " VALUES (1)"',
    ],
)
def test_a_formatted_statement_is_seen(text: str) -> None:
    assert violations(sample(text))


@pytest.mark.parametrize(
    "text",
    [
        'db.execute("SELECT * FROM runs WHERE id = ?", [id])',
        'db.execute("SELECT 1 " "FROM runs")',
        'db.execute(f"SELECT * FROM {TABLE}")  # sql: TABLE is a constant of this module',
        '# sql: the names are those of the schema\nq = f"SELECT {columns} FROM runs"',
        'log.info(f"Selected {n} rows")',
        "client.query(question)",
    ],
)
def test_parameters_constants_and_reasons_are_allowed(text: str) -> None:
    assert not violations(sample(text))


def test_a_mark_without_a_reason_is_none() -> None:
    assert violations(sample('db.execute(f"SELECT {x}")  # sql:'))
