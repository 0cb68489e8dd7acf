"""What SQL of a user may say: one SELECT over the workspace's views, and nothing that reaches past them.

The statement is parsed by DuckDB itself; every table, table function and function in its syntax tree must be allowed
by name. Base tables, catalogs, files, settings and other schemas have no name that passes. Names of common table
expressions must not be those of existing relations, so that a name out of scope cannot mean a system table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import msgspec

from trialbook.errors import Invalid, TooLarge
from trialbook_projector.tables.schema import USER_VIEWS

MAX_SQL_BYTES = 64 * 1024
TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "json_each", "json_tree"})
LISTS = frozenset({"range", "generate_series"})
"""In an expression these make a list in memory, as a table they make row after row."""
TABLE_REFS = frozenset({
    "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT", "SHOW_REF",
})  # fmt: skip
# Functions that tell about the database, other connections or statistics of base tables, that have effects or wait,
# that read SQL as text, or that make much memory out of nothing.
DENIED = re.compile(
    r"(pg_(?!typeof$|size_pretty$)|has_|duckdb_|pragma_|current_(?!date$|timestamp$|localtime|time$)|txid_|json_.*sql|"
    r"json_serialize|json_execute|variant_bytes).*"
    r"|stats|getvariable|getenv|write_log|parse_duckdb_log_message|nextval|currval|setval|setseed|in_search_path|sleep_ms|"
    r"error|query|query_table|user|session_user|format_pg_type|map_to_pg_oid|vector_type|to_aggregate_state|finalize|"
    r"combine|repeat|lpad|rpad|list_resize|array_resize|read_.*|glob|bar|range|generate_series"
)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def allowed_functions(cursor: Any) -> frozenset[str]:
    """Names of the scalar, aggregate and window functions that users may call."""
    rows = cursor.execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'macro', 'window')"
    ).fetchall()
    return frozenset(name for (name,) in rows if not DENIED.fullmatch(name))


def reserved_names(cursor: Any) -> frozenset[str]:
    """Names of everything that can stand after FROM in any schema."""
    rows = cursor.execute(
        "SELECT lower(table_name) FROM duckdb_tables() UNION SELECT lower(view_name) FROM duckdb_views() "
        "UNION SELECT lower(function_name) FROM duckdb_functions() WHERE function_type LIKE 'table%'"
    ).fetchall()
    return frozenset(name for (name,) in rows)


class Guard:
    """Checks statements for one connection."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._functions = allowed_functions(cursor)
        self._reserved = reserved_names(cursor)

    def check(self, sql: str) -> str:
        """The one statement to run. Raises ``Invalid`` (``invalid_sql``, ``sql_not_allowed``) or ``TooLarge``."""
        try:
            if len(sql.encode()) > MAX_SQL_BYTES:
                raise TooLarge("sql_too_large", f"A query may have at most {MAX_SQL_BYTES} bytes.")
            statements = self._cursor.extract_statements(sql)
        except (duckdb.Error, UnicodeError, ValueError) as error:
            raise Invalid("invalid_sql", first_line(error)) from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise Invalid("sql_not_allowed", "Exactly one SELECT is allowed.")
        text: str = statements[0].query
        ((serialized,),) = self._cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()
        tree = msgspec.json.decode(serialized)
        if tree.get("error") or len(tree.get("statements", ())) != 1:
            raise Invalid("sql_not_allowed", "This statement cannot be checked; write it as a plain SELECT.")
        self._check_tree(tree)
        return text

    def _check_tree(self, tree: Any) -> None:
        nodes = list(_nodes(tree))
        named = {name.lower() for node in nodes for name in _cte_names(node)}
        for name in named:
            if not NAME.fullmatch(name) or name in self._reserved - USER_VIEWS.keys():
                raise Invalid("sql_not_allowed", f"A WITH may not define {name[:80]!r}; choose another name.")
        relations = USER_VIEWS.keys() | named
        tables = {id(node["function"]) for node in nodes if node.get("type") == "TABLE_FUNCTION"}
        for node in nodes:
            self._check_node(node, relations, as_table=id(node) in tables)

    def _check_node(self, node: dict[str, Any], relations: Any, *, as_table: bool) -> None:
        kind = node.get("type")
        if "alias" in node and "sample" in node and kind not in TABLE_REFS:
            raise Invalid("sql_not_allowed", f"{kind} is not allowed in FROM.")
        if kind == "BASE_TABLE":
            path = node["qualified_name"]["path"]
            if len(path) != 1 or path[0].lower() not in relations or node.get("at_clause") is not None:
                raise Invalid(
                    "sql_not_allowed",
                    f"There is no table {'.'.join(path)[:80]!r}; there are {', '.join(sorted(USER_VIEWS))}.",
                )
        elif kind == "SHOW_REF" and (node.get("query") is None or node.get("show_type") not in {"DESCRIBE", "SUMMARY"}):
            raise Invalid("sql_not_allowed", f"SHOW is not allowed; there are {', '.join(sorted(USER_VIEWS))}.")
        if "function_name" in node:
            name = str(node["function_name"]).lower()
            path = node.get("qualified_name", {}).get("path", [name])
            if len(path) != 1 or node.get("schema") or node.get("catalog"):
                raise Invalid("sql_not_allowed", f"Function {name[:80]!r} may not be qualified.")
            if name not in self._functions and not (name in TABLE_FUNCTIONS and (as_table or name not in LISTS)):
                raise Invalid("sql_not_allowed", f"Function {name[:80]!r} is not allowed.")
        if kind == "TABLE_FUNCTION" and str(node["function"]["function_name"]).lower() not in TABLE_FUNCTIONS:
            raise Invalid(
                "sql_not_allowed", f"Table function {node['function']['function_name'][:80]!r} is not allowed."
            )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """All objects of a syntax tree, without recursion (it may be deep)."""
    stack = [tree]
    while stack:
        top = stack.pop()
        if isinstance(top, dict):
            yield top
            stack.extend(top.values())
        elif isinstance(top, list):
            stack.extend(top)


def _cte_names(node: dict[str, Any]) -> Iterator[str]:
    ctes = node.get("cte_map")
    if isinstance(ctes, dict):
        for entry in ctes.get("map", ()):
            yield str(entry["key"])
    if "cte_name" in node:
        yield str(node["cte_name"])


def first_line(error: BaseException) -> str:
    """The message of a parser or binder error without suggestions, which may name what the asker cannot see."""
    text = str(error).split("Did you mean", 1)[0].split("Candidate", 1)[0].strip()
    return text.split("\n\nStack Trace", 1)[0][:1000]
