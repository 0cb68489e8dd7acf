"""What algorithms ask of a dataset before they begin, with a text for the client where it is not there."""

from __future__ import annotations

from math import nan
from typing import Any


def table(data: Any, name: str, *columns: str) -> Any:
    """A table of the dataset (``pandas.DataFrame``). Raises ``ValueError`` when it or one of the columns is missing."""
    if name not in data.tables:
        raise ValueError(f"The dataset has no table '{name}'.")
    found = data.tables[name]
    for column in columns:
        if column not in found.columns:
            raise ValueError(f"The table '{name}' has no column '{column}'.")
    return found


def texts(column: Any) -> list[str | None]:
    """A column (``pandas.Series``) as text, None where it has no value."""
    pairs = zip(column.tolist(), column.isna().tolist(), strict=True)
    return [None if missing else str(value) for value, missing in pairs]


def numbers(column: Any) -> list[float]:
    """A column as numbers, NaN where it has no value. Raises ``ValueError`` for a column of something else."""
    pairs = zip(column.tolist(), column.isna().tolist(), strict=True)
    values = [nan if missing else value for value, missing in pairs]
    for value in values:
        if not isinstance(value, int | float):
            raise ValueError(f"The column '{column.name}' is not numeric: {value!r}.")  # noqa: TRY004 -- data, not a call
    return values
