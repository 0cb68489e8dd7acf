"""A witness: it remembers the last checkpoint that it saw, wants proof that the ledger has only grown, and cosigns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from trialbook.audit import merkle, notes, signer
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.notes import InvalidNote, Note
from trialbook.audit.signer import PublicKey, Signer
from trialbook.audit.verify import Chain
from trialbook.client import AsyncClient
from trialbook.errors import Conflict


class Forked(Exception):
    """The log says now what cannot be true together with what it said before."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a witness keeps: the last note, the log's public keys valid then, and its place among the log's notes.

    ``named`` are the keys that it began with: those it was given, or that of the first contact; ``retired`` those that
    were replaced since, whose copies of old checkpoints may still come.
    """

    keys: list[str]
    note: str
    after: int = 0
    named: list[str] = []
    retired: list[str] = []


def load(state: Path) -> Seen | None:
    """What was kept. Raises ``msgspec.DecodeError`` for a damaged file: never begin anew without being told to."""
    return msgspec.json.decode(state.read_bytes(), type=Seen) if state.exists() else None


def store(state: Path, seen: Seen) -> None:
    """Keep it, in one step."""
    part = state.with_name(f"{state.name}.new")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(seen)) + b"\n")
    part.replace(state)


async def witness(client: AsyncClient, state: Path, key: Signer, named: Sequence[PublicKey], now_s: int) -> Checkpoint:
    """Look at the log once and cosign its checkpoint. Raises ``Forked``, and what the service refuses.

    A new key of the log is believed when the old one has named it, in a note that both have signed.
    """
    before = load(state)
    begun = await _begun(client, before, [one.text for one in named])
    note = notes.parse((await client.proofs.checkpoint()).encode())
    listed = [(one.sequence, one.note.encode()) async for one in client.proofs.checkpoints(begun.after)]
    said, seen = follow(begun, listed, note)
    if before is not None:
        await _must_follow(client, _said(notes.parse(before.note.encode())), said)
    cosigned = Note(note.text, (*note.signatures, key.sign(note.text, now_s)))
    if not any(key.public.made(one) for one in note.signatures):
        try:
            await client.proofs.cosign(cosigned.encode())
        except Conflict as refusal:
            if refusal.code == "checkpoint_replaced":  # it has grown meanwhile: the next look sees that
                return said
            raise
    store(state, seen)
    return said


async def _begun(client: AsyncClient, before: Seen | None, named: list[str]) -> Seen:
    """From where, and with which keys, the notes are read now."""
    if before is not None and (not named or named == before.named):
        return before
    note = before.note if before is not None else ""
    if named:
        return Seen(keys=named, note=note, named=named)
    state = await client.proofs.state()
    keys = [str(state["ledger"]["key"])]
    place = (state["checkpoint"] or {}).get("sequence", 1)
    return Seen(keys=keys, note=note, named=keys, after=place - 1)


def follow(begun: Seen, listed: Sequence[tuple[int, bytes]], latest: Note) -> tuple[Checkpoint, Seen]:
    """What the latest note says, and what is to be kept, after reading the notes from ``begun.after`` on.

    Notes before the first one that the keys begun with have signed are older than these keys. Raises ``Forked``.
    """
    keys = [signer.parse_public(text) for text in begun.keys]
    kept = notes.parse(begun.note.encode()) if begun.note else None
    last = _said(kept) if kept and begun.after else None
    chain = Chain(keys, last=last)
    chain.known += [signer.parse_public(text) for text in begun.retired]
    shown = {kept.text} if kept else set()
    after, established = begun.after, last is not None
    for sequence, data in listed:
        established = established or _begins(data, keys)
        if not established:
            continue
        if chain.take(data, sequence) is not None:
            shown.add(notes.parse(data).text)
        if chain.findings:
            raise Forked(f"the log's checkpoint cannot be believed: {chain.findings[0].detail}")
        after = sequence
    if latest.text not in shown or not _signed(latest.encode(), chain.known):
        raise Forked("the log shows a checkpoint that is not among those it lists")
    seen = Seen(
        keys=[one.text for one in chain.keys], note=latest.encode().decode(), after=after, named=begun.named,
        retired=[one.text for one in chain.known if one not in chain.keys],
    )  # fmt: skip
    return _said(latest), seen


def _begins(data: bytes, keys: Sequence[PublicKey]) -> bool:
    """Whether a note is the first one of these keys' own: the hand-over to them is still one of the keys before."""
    if not _signed(data, keys):
        return False
    said = parse_text(notes.parse(data).text)
    return isinstance(said, Checkpoint) or said.old in keys


def _signed(data: bytes, keys: Sequence[PublicKey]) -> bool:
    try:
        return bool(signer.verified(notes.parse(data), keys))
    except InvalidNote:
        return False


def _said(note: Note) -> Checkpoint:
    said = parse_text(note.text)
    if not isinstance(said, Checkpoint):
        raise Forked("what was kept is no checkpoint")
    return said


async def _must_follow(client: AsyncClient, before: Checkpoint, said: Checkpoint) -> None:
    if said.origin != before.origin:
        raise Forked(f"this is the log {said.origin}, not {before.origin}")
    if said.size < before.size:
        raise Forked(f"the log has shrunk from {before.size} facts to {said.size}")
    proof = await client.proofs.consistency(before.size, said.size) if said.size > before.size else None
    path = [bytes.fromhex(part) for part in proof.path] if proof else []
    if not merkle.verify_consistency(before.size, said.size, path, before.root, said.root):
        raise Forked(f"the log's {said.size} facts do not begin with the {before.size} it showed before")
