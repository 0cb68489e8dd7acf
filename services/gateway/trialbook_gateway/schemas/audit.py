"""Requests about the ledger's proof."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trialbook_gateway.schemas.base import SEQUENCE_MAX, QueryModel

Size = Annotated[int, Field(ge=0, le=SEQUENCE_MAX)]
Sequence = Annotated[int, Field(ge=1, le=SEQUENCE_MAX)]


class InclusionQuery(QueryModel):
    """A fact, and the size of the tree it is to be proven in (0: the present one)."""

    sequence: Sequence
    size: Size = 0


class ConsistencyQuery(QueryModel):
    """Two sizes of the tree (``second`` 0: the present one)."""

    first: Size
    second: Size = 0


class CheckpointsQuery(QueryModel):
    """A page of checkpoints, in the order in which they were appended."""

    after: Size = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
