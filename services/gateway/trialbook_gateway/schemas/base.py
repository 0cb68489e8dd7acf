"""Shared parts of request models."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

SEQUENCE_MAX = (1 << 47) - 1
CURSOR_MAX = (1 << 63) - 1
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
LABEL_KEY = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=255)]
Labels = Annotated[
    dict[LabelKey, LabelValue],
    Field(max_length=64),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"pattern": LABEL_KEY},
            "additionalProperties": {"type": "string", "maxLength": 255},
        }
    ),
]
LabelFilter = Annotated[str, Field(pattern=r"^[^:]+:", max_length=400)]
Title = Annotated[str, Field(max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Body(BaseModel):
    """A request body: types are not coerced, unknown members are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NoQuery(BaseModel):
    """No query parameters: of routes that belong to no workspace."""

    model_config = ConfigDict(extra="forbid")


class QueryModel(NoQuery):
    """Query parameters: unknown ones are refused."""

    workspace: Annotated[Slug | None, Field(description="Instead of the header Trialbook-Workspace.")] = None


class Consistent(QueryModel):
    """Parameters of reads that may have to wait for a fact."""

    at_least: Annotated[
        int, Field(ge=0, le=SEQUENCE_MAX, description="Answer only when this ledger sequence is projected.")
    ] = 0


AsOf = Annotated[
    str, Field(max_length=40, description="To look back to: sequence, RFC 3339 time, date (midnight UTC).")
]


class Dated(Consistent):
    """Parameters of reads that can look back."""

    as_of: AsOf = ""


class DatedQuery(QueryModel):
    """Looking back is all that there is to choose."""

    as_of: AsOf = ""


Id = Annotated[
    str, Path(json_schema_extra={"pattern": "^[0-9a-f]{32}$"}, description="32 hexadecimal digits; dashes are allowed.")
]
"""An id in a path; ``parse_id`` checks it."""
