"""The DuckDB tables: their schema, how messages become rows, and how rows are written in one transaction."""
