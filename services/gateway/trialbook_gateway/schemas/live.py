"""Requests for live streams."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trialbook_gateway.schemas.base import QueryModel


class LiveQuery(QueryModel):
    """From where, and what."""

    cursor: Annotated[
        str, Field(max_length=40, description="Resume after this cursor; Last-Event-ID does the same.")
    ] = ""
    kinds: Annotated[
        list[Literal["log", "metric", "progress", "fact", "status"]],
        Field(
            default_factory=list, max_length=5, description="Only these; default all. The final status always comes."
        ),
    ]
    level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="Least level of log lines.")] = (
        "debug"
    )


class WebSocketQuery(LiveQuery):
    """A browser's WebSocket can set no header."""

    token: Annotated[str, Field(max_length=500, description="The bearer token.")] = ""
