"""The few JetStream API calls we make, with errors as one type. Kept apart from nats-py's manager because several
options of recent servers (atomic batches, direct batch reads, republish) have no place in its classes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from trialbook.errors import Unavailable

API_TIMEOUT_S = 5.0
NO_MESSAGE = 10037
UNAVAILABLE = 503
"""Said while a cluster has no leader, or a stream is being recovered."""


class ApiError(Exception):
    """The JetStream API refused: ``code`` is the server's ``err_code``; ``for_now``: it may accept it later."""

    def __init__(self, code: int, description: str, *, for_now: bool = False) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code
        self.for_now = for_now


async def call(nc: Client, subject: str, body: Any = None, timeout_s: float = API_TIMEOUT_S) -> dict[str, Any]:
    """One request to ``$JS.API.<subject>``. Raises ``ApiError``, or ``Unavailable`` when JetStream does not answer."""
    payload = b"" if body is None else msgspec.json.encode(body)
    try:
        reply = await nc.request(f"$JS.API.{subject}", payload, timeout=timeout_s)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise Unavailable("ledger_unavailable", f"JetStream does not answer ({type(error).__name__}).") from error
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    if "error" in answer:
        problem = answer["error"]
        description = str(problem.get("description", "unknown error"))
        raise ApiError(int(problem.get("err_code", 0)), description, for_now=problem.get("code") == UNAVAILABLE)
    return answer


async def call_until_ready(nc: Client, subject: str, body: Any = None, wait_s: float = 15.0) -> dict[str, Any]:
    """Like ``call``, but repeated while JetStream is still starting."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            return await call(nc, subject, body, timeout_s=2.0)
        except Unavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


async def first_after(nc: Client, stream: str, subject: str, after: int) -> int | None:
    """The sequence of the first message behind ``after`` that the stream still has; None: there is none."""
    try:
        found = await call(nc, f"STREAM.MSG.GET.{stream}", {"seq": after + 1, "next_by_subj": subject})
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    return int(found["message"]["seq"])
