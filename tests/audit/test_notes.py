"""Signed notes, checkpoints and keys: examples of the specifications, and what is refused."""

from __future__ import annotations

import pytest

from trialbook.audit import notes, signer
from trialbook.audit.checkpoint import Checkpoint, KeyNote, is_origin, parse_text
from trialbook.audit.notes import InvalidNote
from trialbook.audit.signer import WITNESS, InvalidKey, Signer, parse_public

GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT + "\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()  # fmt: skip
FOO_PUBLIC = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
SOFA_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()  # fmt: skip
LOG = Signer("ledger.example/one", bytes(range(32)))
SEEN = Signer("witness.example/w1", bytes(range(1, 33)), WITNESS)
CHECKPOINT = Checkpoint("ledger.example/one", 12, bytes(32), 1_700_000_000)


@pytest.mark.parametrize(("note", "key"), [(GO_NOTE, GO_PUBLIC), (FOO_NOTE, FOO_PUBLIC)])
def test_known_notes_verify(note: bytes, key: str) -> None:
    public = parse_public(key)
    assert signer.verified(notes.parse(note), [public]) == [public]
    assert public.text == key
    assert notes.parse(note).encode() == note


def test_a_known_key_signs_the_known_note() -> None:
    key = Signer.parse(GO_SECRET)
    assert (key.text, key.public.text) == (GO_SECRET, GO_PUBLIC)
    assert key.note(GO_TEXT).encode() == GO_NOTE


def test_the_cosigned_example_is_read() -> None:
    note = notes.parse(SOFA_NOTE)
    assert note.encode() == SOFA_NOTE
    assert [signature.name for signature in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    assert signer.time_of(note.signatures[1]) == 1679315147
    said = parse_text(note.text)
    assert isinstance(said, Checkpoint)
    assert (said.origin, said.size, said.text) == ("example.com/behind-the-sofa", 20852163, note.text)


def test_a_witness_signs_with_its_time() -> None:
    note = LOG.note(CHECKPOINT.text)
    both = notes.Note(note.text, (*note.signatures, SEEN.sign(note.text, 1_700_000_060)))
    read = notes.parse(both.encode())
    assert signer.verified(read, [LOG.public, SEEN.public]) == [LOG.public, SEEN.public]
    assert signer.time_of(read.signatures[1]) == 1_700_000_060
    late = notes.Signature(SEEN.name, SEEN.public.id, bytes(8) + read.signatures[1].blob[8:])
    with pytest.raises(InvalidNote, match="does not hold"):
        signer.verified(notes.Note(note.text, (late,)), [SEEN.public])


def test_every_flipped_bit_of_a_note_is_refused() -> None:
    good = LOG.note(CHECKPOINT.text).encode()
    for place in range(len(good)):
        for bit in range(8):
            broken = bytearray(good)
            broken[place] ^= 1 << bit
            with pytest.raises(InvalidNote):
                signer.verified(notes.parse(bytes(broken)), [LOG.public])


@pytest.mark.parametrize(
    "data",
    [b"", b"text\n", b"text\n\n", b"text\n\nno dash\n", b"a\tb\n\n" + GO_NOTE[100:], b"\xff\n\n", b"x" * 70_000],
)  # fmt: skip
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(InvalidNote):
        notes.parse(data)


def test_unknown_keys_count_for_nothing() -> None:
    note = notes.parse(GO_NOTE)
    with pytest.raises(InvalidNote, match="no known key"):
        signer.verified(note, [LOG.public])
    assert signer.verified(note, [LOG.public, parse_public(GO_PUBLIC)]) == [parse_public(GO_PUBLIC)]


@pytest.mark.parametrize(
    "text",
    ["", "a+b", "name+00000000+AQ==", FOO_PUBLIC.replace("530d", "530e"), FOO_PUBLIC[:-4], "na me" + FOO_PUBLIC[15:]],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InvalidKey):
        parse_public(text)
    with pytest.raises(InvalidKey):
        Signer.parse("PRIVATE+KEY+" + text)


def test_checkpoints_come_back_as_they_were() -> None:
    assert parse_text(CHECKPOINT.text) == CHECKPOINT
    said = KeyNote(LOG.public, Signer(LOG.name, bytes(range(2, 34))).public, 12)
    assert parse_text(said.text) == said


@pytest.mark.parametrize(
    "text", ["o\n1\n", "o\n01\nAAAA\n", "o\n-1\nAAAA\n", "\n1\nAAAA\n", "o\n1\n!\n", "o\n1\nAAAA\n", "o\n1\n\n"]
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(InvalidNote):
        parse_text(text)


def test_origins_are_subjects() -> None:
    assert all(is_origin(name) for name in ("trialbook-0a1b", "example.com/log", "lab:8222/one"))
    assert not any(is_origin(name) for name in ("", "a b", "a..b", "a.>", "*", "a+b", ".a", "x" * 201))
