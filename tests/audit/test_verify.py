"""What a verification finds: each deviation by its kind and its sequence, and nothing where nothing deviates."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trialbook.audit import merkle, notes
from trialbook.audit.checkpoint import Checkpoint, KeyNote
from trialbook.audit.leaf import leaf_bytes, leaf_hash, leaf_hashes
from trialbook.audit.signer import WITNESS, Signer
from trialbook.audit.verify import Fact, Verification, history

FACTS: list[Fact] = [(n, f"fact.main.run.{n % 7}.x", f"payload {n}".encode()) for n in range(1, 1001)]
LEAVES = [leaf_hash(*fact) for fact in FACTS]
TREE = merkle.over(LEAVES)
SIGNED = [Checkpoint("o", size, merkle.head_at(size, TREE), 1) for size in (1, 255, 256, 257, 700, 1000)]
ALIEN: Fact = (0, "fact.main.run.9.x", b"never hashed")
Change = Callable[[list[Fact]], list[Fact]]


def _stored(first: int, last: int) -> bytes:
    return b"".join(LEAVES[first - 1 : last])


def _found(facts: list[Fact], *, stored: bool = True, batch: int = 97) -> list[str]:
    run = Verification(SIGNED, _stored if stored else None, len(LEAVES))
    for start in range(0, len(facts), batch):
        run.take(facts[start : start + batch])
    verdict = run.finish()
    assert verdict.intact == (not verdict.findings)
    return [finding.text for finding in verdict.findings]


def _renumbered(facts: list[Fact]) -> list[Fact]:
    return [(number, subject, payload) for number, (_, subject, payload) in enumerate(facts, 1)]


def _swapped(facts: list[Fact], one: int, other: int) -> list[Fact]:
    facts[one - 1], facts[other - 1] = facts[other - 1], facts[one - 1]
    return _renumbered(facts)


def _moved(facts: list[Fact], one: int, to: int) -> list[Fact]:
    facts.insert(to - 1, facts.pop(one - 1))
    return _renumbered(facts)


CASES: dict[str, tuple[Change, list[str]]] = {
    "nothing": (lambda f: f, []),
    "more than is stored": (lambda f: [*f, (1001, "a", b"b")], []),
    "payload": (lambda f: [*f[:499], (500, f[499][1], b"evil"), *f[500:]], ["changed 500"]),
    "subject": (lambda f: [*f[:499], (500, "fact.other.run.3.x", f[499][2]), *f[500:]], ["changed 500"]),
    "three in a row": (lambda f: [*f[:499], *[(n, "x", b"x") for n in (500, 501, 502)], *f[502:]], ["changed 500-502"]),
    "two apart": (lambda f: [(n, s, b"x" if n in (9, 900) else p) for n, s, p in f], ["changed 9", "changed 900"]),
    "a hole": (lambda f: f[:499] + f[500:], ["lost 500"]),
    "a block": (lambda f: f[:256] + f[512:], ["lost 257-512"]),
    "taken out": (lambda f: _renumbered(f[:499] + f[500:]), ["lost 500"]),
    "the first": (lambda f: _renumbered(f[1:]), ["lost 1"]),
    "cut off": (lambda f: f[:990], ["lost 991-1000"]),
    "everything": (lambda _: [], ["lost 1-1000"]),
    "put in": (lambda f: _renumbered([*f[:499], ALIEN, *f[499:]]), ["inserted 500"]),
    "put in two": (lambda f: _renumbered([*f[:499], ALIEN, ALIEN, *f[499:]]), ["inserted 500-501"]),
    "doubled": (lambda f: _renumbered([*f[:499], f[498], *f[499:]]), ["inserted 500"]),
    "neighbours": (lambda f: _swapped(f, 11, 12), ["reordered 12, stands at 11", "reordered 11, stands at 12"]),
    "far apart": (lambda f: _swapped(f, 11, 801), ["reordered 801, stands at 11", "reordered 11, stands at 801"]),
    "moved back": (lambda f: _moved(f, 21, 401), ["reordered 21, stands at 401"]),
    "moved on": (lambda f: _moved(f, 401, 21), ["reordered 401, stands at 21"]),
    "out and in": (lambda f: _renumbered([*f[:100], *f[101:500], ALIEN, *f[500:]]), ["inserted 500", "lost 101"]),
}  # fmt: skip


@pytest.mark.parametrize("batch", [1, 97, 1000])
@pytest.mark.parametrize("case", CASES)
def test_each_deviation_is_named(case: str, batch: int) -> None:
    change, expected = CASES[case]
    assert _found(change(list(FACTS)), batch=batch) == expected


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1]])
def test_without_stored_hashes_a_deviation_is_seen_at_the_next_checkpoint(case: str) -> None:
    found = _found(CASES[case][0](list(FACTS)), stored=False)
    assert found
    assert all(text.startswith(("checkpoint", "lost")) for text in found)


def test_the_first_checkpoint_that_does_not_hold_is_named() -> None:
    facts = [(n, s, b"x" if n == 300 else p) for n, s, p in FACTS]
    (text,) = _found(facts, stored=False)
    assert text == "checkpoint 258-700: the signed head of 700 facts does not hold; that of 257 did"


def test_stored_hashes_that_were_not_signed_are_seen() -> None:
    forged = [*LEAVES[:499], leaf_hash(500, "x", b"forged"), *LEAVES[500:]]
    run = Verification(SIGNED, lambda first, last: b"".join(forged[first - 1 : last]), len(forged))
    run.take([*FACTS[:499], (500, "x", b"forged"), *FACTS[500:]])
    (finding,) = run.finish().findings
    assert (finding.kind, finding.sequence, finding.until) == ("tiles", 258, 700)


def test_a_ledger_cut_together_with_its_hashes_is_shorter_than_signed() -> None:
    run = Verification(SIGNED, _stored, 900)
    run.take(FACTS[:900])
    (finding,) = run.finish().findings
    assert (finding.kind, finding.sequence, finding.until) == ("lost", 901, 1000)


def test_facts_that_are_stored_elsewhere_are_left_out() -> None:
    run = Verification(SIGNED, _stored, 1000, after=400)
    run.take(FACTS[400:600])
    run.take(FACTS[601:])
    assert [finding.text for finding in run.finish().findings] == ["lost 601"]


def test_a_leaf_is_sequence_subject_and_payload() -> None:
    assert leaf_bytes(258, "ab", b"\x00{}") == b"\0\0\0\0\0\0\1\2" + b"\0\2ab" + b"\x00{}"
    assert leaf_hash(258, "ab", b"x") == merkle.hash_leaf(leaf_bytes(258, "ab", b"x"))
    assert leaf_hashes(FACTS[:3]) == LEAVES[:3]
    assert leaf_hash(1, "ab", b"c") != leaf_hash(1, "a", b"bc")


OLD, NEW, OTHER = (Signer("o", bytes([number]) * 32) for number in (1, 2, 3))
ELSEWHERE, WATCHING = Signer("p", bytes([4]) * 32), Signer("o", bytes([5]) * 32, WITNESS)


def _note(signer: Signer, checkpoint: Checkpoint) -> bytes:
    return signer.note(checkpoint.text).encode()


def _rotation(old: Signer, new: Signer, *signers: Signer) -> bytes:
    text = KeyNote(old.public, new.public, 1).text
    return notes.Note(text, tuple(signer.sign(text) for signer in signers)).encode()


def test_a_history_goes_on_with_the_key_that_the_old_one_named() -> None:
    read = history(
        [_note(OLD, SIGNED[0]), _rotation(OLD, NEW, OLD, NEW), _note(NEW, SIGNED[1]), _note(NEW, SIGNED[2])],
        [OLD.public],
    )
    assert (read.checkpoints, read.findings, read.keys) == (SIGNED[:3], [], [NEW.public])


def test_a_cosigned_copy_may_come_after_its_key_was_replaced() -> None:
    first = notes.parse(_note(OLD, SIGNED[0]))
    copy = notes.Note(first.text, (*first.signatures, WATCHING.sign(first.text, 5)))
    read = history([first.encode(), _rotation(OLD, NEW, OLD, NEW), copy.encode(), _note(NEW, SIGNED[1])], [OLD.public])
    assert (read.checkpoints, read.findings) == (SIGNED[:2], [])


@pytest.mark.parametrize(
    "forged",
    [
        [_note(OTHER, SIGNED[1])],
        [_rotation(OLD, OTHER, OTHER), _note(OTHER, SIGNED[1])],
        [_rotation(OLD, NEW, OLD, NEW), _note(OLD, SIGNED[1])],
        [_rotation(OLD, NEW, OLD)],
        [_rotation(OLD, NEW, OLD, OTHER)],
        [_rotation(OLD, ELSEWHERE, OLD, ELSEWHERE)],
        [_rotation(OLD, WATCHING, OLD, WATCHING)],
        [b"no note"],
        [_note(OLD, SIGNED[1]).replace(b"255", b"254")],
    ],
)
def test_what_no_valid_key_has_signed_is_a_finding(forged: list[bytes]) -> None:
    read = history([_note(OLD, SIGNED[0]), *forged], [OLD.public])
    assert read.checkpoints == SIGNED[:1]
    assert {finding.kind for finding in read.findings} == {"signature"}


def test_a_history_never_shrinks_or_forks() -> None:
    fork = Checkpoint("o", 255, bytes(32), 1)
    for later in (SIGNED[0], fork):
        read = history([_note(OLD, SIGNED[1]), _note(OLD, later)], [OLD.public])
        assert [finding.kind for finding in read.findings] == ["checkpoint"]
    cosigned = history([_note(OLD, SIGNED[1])] * 2, [OLD.public])
    assert (cosigned.checkpoints, cosigned.findings) == ([SIGNED[1]], [])
