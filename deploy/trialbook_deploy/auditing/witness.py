"""A witness: it remembers the last checkpoint that it saw, wants proof that the ledger has only grown, and cosigns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from trialbook.audit import merkle, notes, signer
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.notes import InvalidNote, Note
from trialbook.audit.signer import PublicKey, Signer
from trialbook.client import AsyncClient
from trialbook.errors import Conflict


class Forked(Exception):
    """The log says now what cannot be true together with what it said before."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a witness keeps: the log's public keys (those of the first contact, if none were named), the last note."""

    keys: list[str]
    note: str


def load(state: Path) -> Seen | None:
    """What was kept. Raises ``msgspec.DecodeError`` for a damaged file: never begin anew without being told to."""
    return msgspec.json.decode(state.read_bytes(), type=Seen) if state.exists() else None


def store(state: Path, seen: Seen) -> None:
    """Keep it, in one step."""
    part = state.with_name(f"{state.name}.new")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(seen)) + b"\n")
    part.replace(state)


async def witness(client: AsyncClient, state: Path, key: Signer, named: Sequence[PublicKey], now_s: int) -> Checkpoint:
    """Look at the log once and cosign its checkpoint. Raises ``Forked``, and what the service refuses."""
    before = load(state)
    texts = [one.text for one in named] or (before.keys if before else [await _first_key(client)])
    keys = [signer.parse_public(text) for text in texts]
    note = notes.parse((await client.proofs.checkpoint()).encode())
    said = opened(note, keys)
    if before is not None:
        await _must_follow(client, opened(notes.parse(before.note.encode()), keys), said)
    cosigned = Note(note.text, (*note.signatures, key.sign(note.text, now_s)))
    if not any(key.public.made(one) for one in note.signatures):
        try:
            await client.proofs.cosign(cosigned.encode())
        except Conflict as refusal:
            if refusal.code == "checkpoint_replaced":  # it has grown meanwhile: the next look sees that
                return said
            raise
    store(state, Seen(keys=texts, note=note.encode().decode()))
    return said


def opened(note: Note, keys: Sequence[PublicKey]) -> Checkpoint:
    """What a note of the log says. Raises ``Forked`` when it is not signed by it."""
    try:
        signer.verified(note, keys)
        said = parse_text(note.text)
    except InvalidNote as error:
        raise Forked(f"the log's checkpoint cannot be believed: {error}") from None
    if not isinstance(said, Checkpoint):
        raise Forked("the log shows something else than a checkpoint")
    return said


async def _first_key(client: AsyncClient) -> str:
    return str((await client.proofs.state())["ledger"]["key"])


async def _must_follow(client: AsyncClient, before: Checkpoint, said: Checkpoint) -> None:
    if said.origin != before.origin:
        raise Forked(f"this is the log {said.origin}, not {before.origin}")
    if said.size < before.size:
        raise Forked(f"the log has shrunk from {before.size} facts to {said.size}")
    proof = await client.proofs.consistency(before.size, said.size) if said.size > before.size else None
    path = [bytes.fromhex(part) for part in proof.path] if proof else []
    if not merkle.verify_consistency(before.size, said.size, path, before.root, said.root):
        raise Forked(f"the log's {said.size} facts do not begin with the {before.size} it showed before")
