"""What a witness believes: a log that only grows, and new keys that the old one has named; nothing else."""

from __future__ import annotations

import pytest

from trialbook.audit import notes
from trialbook.audit.checkpoint import Checkpoint, KeyNote
from trialbook.audit.signer import WITNESS, Signer
from trialbook_deploy.auditing.witness import Forked, Seen, follow

OLD, NEW, THIRD, EVIL = (Signer("log", bytes([number]) * 32) for number in (1, 2, 3, 9))
OTHERS = Signer("witness-2", bytes([8]) * 32, WITNESS)


def note(key: Signer, size: int, root: int = 0) -> bytes:
    return key.note(Checkpoint("log", size, bytes([root or size]) * 32, size).text).encode()


def handing(old: Signer, new: Signer, size: int, *signers: Signer) -> bytes:
    text = KeyNote(old.public, new.public, size).text
    return notes.Note(text, tuple(one.sign(text) for one in signers or (old, new))).encode()


def seen(key: Signer, size: int, after: int) -> Seen:
    return Seen(keys=[key.public.text], note=note(key, size).decode(), after=after, named=[key.public.text])


def look(before: Seen, *new: bytes, latest: bytes = b"") -> tuple[Checkpoint, Seen]:
    """A look at notes that came after ``before``; the last one is the latest."""
    listed = list(enumerate(new, before.after + 1))
    return follow(before, listed, notes.parse(latest or (new[-1] if new else before.note.encode())))


def test_it_follows_a_key_that_the_old_one_has_named() -> None:
    said, kept = look(seen(OLD, 5, 3), handing(OLD, NEW, 5), note(NEW, 7))
    assert (said.size, kept.keys, kept.after) == (7, [NEW.public.text], 5)
    said, kept = look(kept, note(NEW, 8), handing(NEW, THIRD, 8), note(THIRD, 9))
    assert (said.size, kept.keys) == (9, [THIRD.public.text])
    assert kept.named == [OLD.public.text]
    assert look(kept) == (said, kept)


def test_it_follows_several_at_once_from_the_oldest_key() -> None:
    whole = [note(EVIL, 1), note(OLD, 3), handing(OLD, NEW, 3), note(NEW, 4), handing(NEW, THIRD, 4), note(THIRD, 6)]
    for key, numbers in ((OLD, 6), (NEW, 6), (THIRD, 6)):
        said, kept = look(Seen(keys=[key.public.text], note="", named=[key.public.text]), *whole)
        assert (said.size, kept.keys, kept.after) == (6, [THIRD.public.text], numbers)


def test_between_the_hand_over_and_the_next_checkpoint_nothing_is_wrong() -> None:
    before = seen(OLD, 5, 3)
    said, kept = look(before, handing(OLD, NEW, 5), latest=before.note.encode())
    assert (said.size, kept.keys, kept.after) == (5, [NEW.public.text], 4)
    cosigned = notes.parse(note(OLD, 5))
    copy = notes.Note(cosigned.text, (*cosigned.signatures, OTHERS.sign(cosigned.text, 1))).encode()
    said, kept = look(kept, copy)
    assert (said.size, kept.keys, kept.after) == (5, [NEW.public.text], 5)
    assert look(kept, note(NEW, 6))[0].size == 6
    with pytest.raises(Forked):
        look(kept, note(OLD, 6))


@pytest.mark.parametrize(
    "new",
    [
        [note(NEW, 7)],
        [handing(OLD, NEW, 5, OLD), note(NEW, 7)],
        [handing(OLD, NEW, 5, NEW), note(NEW, 7)],
        [handing(EVIL, NEW, 5), note(NEW, 7)],
        [handing(OLD, NEW, 5), note(OLD, 7)],
        [handing(OLD, NEW, 5), handing(OLD, EVIL, 5), note(EVIL, 7)],
        [handing(OLD, NEW, 5), note(EVIL, 7)],
        [handing(OLD, NEW, 5), note(NEW, 4)],
        [handing(OLD, NEW, 5), note(NEW, 5, root=66)],
        [b"no note"],
    ],
)
def test_anything_else_is_a_fork(new: list[bytes]) -> None:
    with pytest.raises(Forked):
        follow(seen(OLD, 5, 3), list(enumerate(new, 4)), notes.parse(note(NEW, 7)))


def test_what_is_shown_is_among_what_is_listed() -> None:
    with pytest.raises(Forked):
        look(seen(OLD, 5, 3), note(OLD, 6), latest=note(OLD, 7))
    with pytest.raises(Forked):
        look(Seen(keys=[OLD.public.text], note="", named=[]), note(EVIL, 6))


def test_a_state_of_before_is_read() -> None:
    said, kept = look(
        Seen(keys=[OLD.public.text], note=note(OLD, 5).decode()), note(OLD, 5), handing(OLD, NEW, 5), note(NEW, 7)
    )
    assert (said.size, kept.keys) == (7, [NEW.public.text])
