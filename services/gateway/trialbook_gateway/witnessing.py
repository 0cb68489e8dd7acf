"""Cosignatures of witnesses: checked against the keys of those we know, then appended as a copy of the checkpoint."""

from __future__ import annotations

from nats.aio.client import Client

from trialbook.audit import notes, signer
from trialbook.audit.checkpoint import Checkpoint, parse_text
from trialbook.audit.notes import InvalidNote, Note
from trialbook.audit.signer import WITNESS, InvalidKey, PublicKey
from trialbook.errors import Conflict, Forbidden, Invalid
from trialbook.log.checkpoints import append_note, last_note
from trialbook.ports import VersionConflict
from trialbook.proofs import NoteView
from trialbook_gateway.problems import malformed

TRIES = 5


def witness_keys(text: str) -> tuple[PublicKey, ...]:
    """Public keys of witnesses, separated by spaces or commas. Raises ``ValueError``."""
    keys = tuple(signer.parse_public(part) for part in text.replace(",", " ").split())
    if any(key.kind != WITNESS for key in keys):
        raise InvalidKey("a witness has a key of type 4; `trialbook audit witness` makes one")
    return keys


def accepted(data: bytes, ours: Note, keys: tuple[PublicKey, ...]) -> Note:
    """Our newest checkpoint with the new cosignatures of ``data``.

    Raises ``Invalid`` for what is no note or does not hold, ``Forbidden`` for unknown witnesses, ``Conflict`` for
    another checkpoint or one that has these cosignatures already.
    """
    try:
        note = notes.parse(data)
        said = parse_text(note.text)
    except InvalidNote as error:
        raise malformed(f"This is no signed note: {error}.") from None
    if not isinstance(said, Checkpoint) or note.text != ours.text:
        raise Conflict("checkpoint_replaced", "This is not the latest checkpoint; get it, and cosign that one.")
    known = [one for one in note.signatures if any(key.made(one) for key in keys)]
    if not known:
        raise Forbidden("unknown_witness", "None of the signatures is of a witness in TRIALBOOK_WITNESS_KEYS.")
    try:
        signer.verified(Note(note.text, tuple(known)), keys)
    except InvalidNote as error:
        raise Invalid("invalid_cosignature", f"{error}.") from None
    present = {(one.name, one.key_id) for one in ours.signatures}
    fresh = tuple(one for one in known if (one.name, one.key_id) not in present)
    if not fresh:
        raise Conflict("already_cosigned", "This checkpoint has these cosignatures already.")
    return Note(ours.text, (*ours.signatures, *fresh))


async def append(nc: Client, origin: str, note: Note) -> int:
    """Append a cosigned copy; returns its place. Raises ``Conflict`` when others append all the time."""
    for _ in range(TRIES):
        try:
            return await append_note(nc, origin, note.encode(), await last_note(nc))
        except VersionConflict:
            continue
    raise Conflict("ledger_busy", "Others append checkpoints all the time; try again.")


def note_view(data: bytes, sequence: int, time: str = "") -> NoteView:
    """A stored note for readers; notes that name a key say no size. Raises ``InvalidNote``."""
    note = notes.parse(data)
    said = parse_text(note.text)
    names = [one.name for one in note.signatures]
    if not isinstance(said, Checkpoint):
        return NoteView(
            note=data.decode(), origin=said.old.name, size=said.size, root="", sequence=sequence, signatures=names
        )
    return NoteView(
        note=data.decode(), origin=said.origin, size=said.size, root=said.root.hex(), sequence=sequence, time=time,
        signatures=names,
    )  # fmt: skip
