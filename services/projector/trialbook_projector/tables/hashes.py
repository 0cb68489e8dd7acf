"""Per-table hashes: equal contents give equal hashes, in whatever order the rows were written."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook_projector.tables import schema

OF_THE_SERVER = {"parked": ("stored_at",)}
"""Columns that are not of the ledger: they are others after an import."""


class TableHash(msgspec.Struct, frozen=True):
    """Rows of a table and a hash over all of them (128 bits as hex)."""

    rows: int
    hash: str


def of_table(cursor: Any, table: str) -> TableHash:
    """Sum and exclusive-or of the row hashes: the sum counts repeated rows, which cancel out in the other."""
    assert table in schema.HASHED, table
    columns = f"* EXCLUDE ({', '.join(OF_THE_SERVER[table])})" if table in OF_THE_SERVER else "*"
    rows = f"SELECT hash(t) AS h FROM (SELECT {columns} FROM book.{table}) AS t"  # noqa: S608 -- our own names
    sql = f"SELECT count(*), coalesce(bit_xor(h), 0), coalesce(sum(h) % 18446744073709551616, 0) FROM ({rows})"  # noqa: S608 -- our own names
    count, xor, total = cursor.execute(sql).fetchall()[0]
    return TableHash(int(count), f"{int(xor):016x}{int(total):016x}")


def of_tables(cursor: Any) -> dict[str, TableHash]:
    """All tables that a rebuild must reproduce, as of one moment."""
    cursor.execute("BEGIN TRANSACTION")
    try:
        return {table: of_table(cursor, table) for table in schema.HASHED}
    finally:
        cursor.execute("COMMIT")
