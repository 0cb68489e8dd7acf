"""The projector: folds facts and signals into DuckDB tables and answers questions about them."""
