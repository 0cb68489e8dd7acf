"""Reading server-sent events."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass
class Event:
    """One event; ``data`` is that of the message."""

    id: str
    kind: str
    data: Any


def read(http: httpx.Client, path: str, last: str = "") -> Generator[Event]:
    """Events until the server ends the stream."""
    headers = {"Last-Event-ID": last} if last else {}
    with http.stream("GET", path, headers=headers, timeout=90) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in reply.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                message = json.loads(fields["data"])
                yield Event(fields.get("id", ""), fields["event"], message["data"])
                fields = {}


def statuses(events: list[Event], tag: str) -> list[str]:
    """What happened to one scenario."""
    return [event.data["status"] for event in events if event.kind == "status" and event.data["tag"] == tag]
