"""What the native API consists of: its routers, and the structs and models that its document describes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from trialbook.queries import Page
from trialbook.views import RunView
from trialbook_gateway.api import health, runs
from trialbook_gateway.schemas.runs import CancelIn, RunCreate

ROUTERS: tuple[APIRouter, ...] = (health.router, runs.router)
VIEWS: list[type[Any]] = [RunView, Page]
BODIES: list[type[BaseModel]] = [RunCreate, CancelIn]
