"""What an attempt and its runner tell each other, and the frames it travels in.

A frame is a big-endian length (4 bytes), a kind (1 byte) and a payload. Between a child process and the runner it
goes over a socket pair; an attempt in the runner's own process uses the same operations without frames.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Literal

import msgspec

from trialbook.subjects import SignalKind
from trialbook.workload import EffectSource
from trialbook_runner.sandbox.types import Walls

HEADER = struct.Struct(">IB")
MAX_FRAME = 64 * 1024 * 1024
RECORDS, REQUEST, VERDICT, JOB, REPLY, NOTICE = 1, 2, 3, 10, 11, 12
KINDS: tuple[SignalKind, ...] = ("log", "metric", "progress", "record")
Notice = Literal["cancel", "pause", "resume"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The order for one attempt. Paths are absolute; ``scratch`` is for the runner's own temporary files."""

    run: str
    workspace: str
    attempt: int
    workload: str
    params: dict[str, Any]
    seed: int
    workdir: str
    scratch: str
    inputs: dict[str, str]
    digests: dict[str, str] = {}
    """sha256 by the name of the input."""
    shares: dict[str, str] = {}
    """Function by the name of the input; see ``Workload.shares``."""
    checkpoint: Any = None
    pause: bool = False
    source: EffectSource
    recorded: bool = False
    """Whether there are effects to take; else nobody need ask for one that this attempt has not recorded itself."""
    walls: Walls | None = None
    """What the runner found out about its machine; None: not looked at yet."""


class Op(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    """Base of what an attempt asks of its runner; each gets a reply."""


class BeginStep(Op, frozen=True, kw_only=True, tag="begin_step"):
    """-> StepReply."""

    step: str
    needs: list[str]


class EndStep(Op, frozen=True, kw_only=True, tag="end_step"):
    """``error`` None: completed. -> None."""

    step: str
    result: Any = None
    error: dict[str, Any] | None = None


class SaveCheckpoint(Op, frozen=True, kw_only=True, tag="save_checkpoint"):
    """-> None."""

    data: Any


class SaveArtifact(Op, frozen=True, kw_only=True, tag="save_artifact"):
    """-> sha256."""

    name: str
    path: str
    media_type: str


class RunChild(Op, frozen=True, kw_only=True, tag="run_child"):
    """-> view of the finished child run."""

    workload: str
    params: dict[str, Any]
    key: str
    title: str


class CancelChild(Op, frozen=True, kw_only=True, tag="cancel_child"):
    """-> None; no effect on a child that has ended or never was."""

    key: str


class FetchBlob(Op, frozen=True, kw_only=True, tag="fetch_blob"):
    """Write stored bytes to a path. -> None."""

    sha256: str
    path: str


class FindEffect(Op, frozen=True, kw_only=True, tag="find_effect"):
    """-> EffectRecord or None."""

    key: str


class SaveEffect(Op, frozen=True, kw_only=True, tag="save_effect"):
    """-> None, once the fact is in the ledger."""

    key: str
    request_digest: str
    response: msgspec.Raw
    """JSON, which nobody on the way has to read."""
    info: dict[str, Any]


EffectOp = FindEffect | SaveEffect
AnyOp = BeginStep | EndStep | SaveCheckpoint | SaveArtifact | RunChild | CancelChild | FetchBlob | EffectOp


class StepReply(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an earlier attempt completed the step, and what it returned."""

    completed: bool
    result: Any = None


class Request(msgspec.Struct, frozen=True):
    """A numbered operation."""

    id: int
    op: AnyOp


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a request: ``error`` is ``{kind, code, detail, extra}`` of a refusal."""

    id: int
    value: Any = None
    error: dict[str, Any] | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended, as it says itself. ``result`` is JSON.

    Of a replay: ``wall`` is what kept it from networks, ``refused`` the addresses that it wanted to reach.
    """

    status: Literal["completed", "failed", "cancelled", "paused"]
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: dict[str, Any] = {}
    retryable: bool = True
    wall: str = ""
    refused: list[str] = []
    effects: list[SaveEffect] = []
    """Effects that become facts together with the verdict."""


encode = msgspec.json.Encoder().encode
decode_job = msgspec.json.Decoder(Job).decode
decode_request = msgspec.json.Decoder(Request).decode
decode_reply = msgspec.json.Decoder(Reply).decode
decode_verdict = msgspec.json.Decoder(Verdict).decode


def frame(kind: int, payload: bytes) -> bytes:
    """One frame. Raises ``ValueError`` past ``MAX_FRAME`` bytes."""
    if len(payload) > MAX_FRAME:
        raise ValueError(f"a frame of {len(payload)} bytes exceeds {MAX_FRAME}")
    return HEADER.pack(len(payload), kind) + payload


def receive(sock: socket.socket) -> tuple[int, bytes] | None:
    """The next frame from a blocking socket; None at its end."""
    head = _exactly(sock, HEADER.size)
    if head is None:
        return None
    length, kind = HEADER.unpack(head)
    payload = _exactly(sock, length)
    return None if payload is None else (kind, payload)


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
