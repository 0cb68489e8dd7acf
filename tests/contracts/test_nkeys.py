"""The text form of keys, against one that others made."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trialbook.errors import Invalid
from trialbook.nkeys import check_public, new_user, user_of

SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_a_known_seed_gives_the_known_key() -> None:
    key = user_of(SEED + "\n")
    assert key.public == PUBLIC
    assert key.seed == SEED


def test_a_new_key_is_read_back_and_signs() -> None:
    key = new_user()
    assert user_of(key.seed).public == key.public == check_public(key.public)
    assert new_user().public != key.public
    raw = base64.b32decode(key.public)[1:33]
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(key.sign("nonce")), b"nonce")


@pytest.mark.parametrize(
    "text",
    ["", "SU", PUBLIC, SEED[:-1], SEED[:30] + "A" + SEED[31:], SEED.lower(), "é" * 58, "SA" + SEED[2:], SEED * 2],
)
def test_what_is_no_seed_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        user_of(text)
    assert refused.value.code == "invalid_seed"
    assert len(text) < 3 or text not in refused.value.detail


@pytest.mark.parametrize("text", ["", SEED, PUBLIC[:-1] + "A", "A" + PUBLIC[1:], PUBLIC + '", x: "', "U" * 56])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="public key"):
        check_public(text)
