"""The dialects: other systems' APIs, each a FastAPI application of its own, mounted by ``mount_dialects``."""

from __future__ import annotations

from fastapi import FastAPI

from trialbook_gateway.services import Services


def mount_dialects(app: FastAPI, services: Services) -> None:
    """Mount every dialect under its prefix and its documented root paths. Called last, after the native routes."""
    del app, services
