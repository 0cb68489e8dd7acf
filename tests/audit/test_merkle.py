"""Heads and proofs: known answers of RFC 6962 logs, and every proof of every tree up to 300 leaves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialbook.audit import merkle, tiles

ENTRIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
HEADS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [merkle.hash_leaf(number.to_bytes(4, "big")) for number in range(301)]
TREE = merkle.over(LEAVES)
ROOTS = [merkle.head(LEAVES[:size]) for size in range(301)]
sizes = st.integers(1, 300)


@pytest.mark.parametrize("size", range(9))
def test_heads_are_those_of_the_reference(size: int) -> None:
    leaves = [merkle.hash_leaf(entry) for entry in ENTRIES[:size]]
    assert merkle.head(leaves).hex() == HEADS[size]
    assert merkle.head_at(size, merkle.over(leaves)).hex() == HEADS[size]


def test_proofs_are_those_of_the_reference() -> None:
    tree = merkle.over([merkle.hash_leaf(entry) for entry in ENTRIES])
    assert [part.hex() for part in merkle.inclusion(5, 8, tree)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [part.hex() for part in merkle.consistency(6, 8, tree)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_every_inclusion_proof_holds() -> None:
    for size in range(1, 301):
        for index in {0, size // 3, size // 2, size - 1}:
            path = merkle.inclusion(index, size, TREE)
            assert merkle.verify_inclusion(LEAVES[index], index, size, path, ROOTS[size])
            assert len(path) <= 9


def test_every_consistency_proof_holds() -> None:
    for second in range(301):
        for first in {0, 1, second // 3, second // 2, second - 1, second} & set(range(second + 1)):
            path = merkle.consistency(first, second, TREE)
            assert merkle.verify_consistency(first, second, path, ROOTS[first], ROOTS[second])


@given(size=sizes, data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_breaks_an_inclusion_proof(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion(index, size, TREE)
    parts = [LEAVES[index], *path, ROOTS[size]]
    broken = _flipped(parts, data)
    assert not merkle.verify_inclusion(broken[0], index, size, broken[1:-1], broken[-1])
    assert not merkle.verify_inclusion(LEAVES[index], index, size, [*path, LEAVES[0]], ROOTS[size])
    assert not path or not merkle.verify_inclusion(LEAVES[index], index, size, path[:-1], ROOTS[size])


@given(second=st.integers(2, 300), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_breaks_a_consistency_proof(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, second - 1))
    path = merkle.consistency(first, second, TREE)
    broken = _flipped([ROOTS[first], *path, ROOTS[second]], data)
    assert not merkle.verify_consistency(first, second, broken[1:-1], broken[0], broken[-1])
    assert not merkle.verify_consistency(first, second, path[:-1], ROOTS[first], ROOTS[second])


@given(size=st.integers(0, 300), cuts=st.lists(st.integers(1, 90), max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_growing_tree_has_the_same_heads(size: int, cuts: list[int]) -> None:
    growing = merkle.Growing()
    for cut in [*cuts, size]:
        growing.extend(LEAVES[growing.size : min(size, growing.size + cut)])
        assert growing.head() == ROOTS[growing.size]


def test_a_growing_tree_over_many_blocks() -> None:
    leaves = [merkle.hash_leaf(number.to_bytes(4, "big")) for number in range(3000)]
    growing = merkle.Growing()
    for start in range(0, 3000, 700):
        growing.extend(leaves[start : start + 700])
        assert growing.head() == merkle.head(leaves[: start + 700])


@pytest.mark.parametrize("size", [1, 255, 256, 257, 70_000])
def test_a_tree_read_from_tiles(size: int) -> None:
    leaves = [merkle.hash_leaf(number.to_bytes(4, "big")) for number in range(size)]
    stored: dict[tuple[int, int], bytes] = {}
    level, hashes = 0, leaves
    while hashes:
        for index in range(0, len(hashes), 256):
            stored[level, index // 256] = b"".join(hashes[index : index + 256])
        full = len(hashes) // 256
        level, hashes = level + 1, [merkle.head(hashes[i * 256 : i * 256 + 256]) for i in range(full)]
    named = list(tiles.tiles_of(size))
    assert {(tile.level, tile.number): tile.width * 32 for tile in named} == {k: len(v) for k, v in stored.items()}
    tree = tiles.subtrees(size, lambda tile: stored[tile.level, tile.number][: tile.width * 32])
    root = merkle.head(leaves)
    assert merkle.head_at(size, tree) == root
    for index in {0, size // 2, size - 1}:
        assert merkle.verify_inclusion(leaves[index], index, size, merkle.inclusion(index, size, tree), root)
    smaller = size * 2 // 3
    path = merkle.consistency(smaller, size, tree)
    assert merkle.verify_consistency(smaller, size, path, merkle.head(leaves[:smaller]), root)


def test_tiles_of_the_specifications_example() -> None:
    found = list(tiles.tiles_of(70_000))
    assert sum(tile.level == 0 and tile.width == 256 for tile in found) == 273
    assert [tile for tile in found if tile.width < 256] == [
        tiles.Tile(0, 273, 112), tiles.Tile(1, 1, 17), tiles.Tile(2, 0, 1),
    ]  # fmt: skip


def test_paths_of_tiles() -> None:
    assert tiles.Tile(0, 1234067).path == "0/x001/x234/067"
    assert tiles.Tile(2, 7, 17).path == "2/007.p/17"
    for path in ("0/x001/x234/067", "2/007.p/17", "63/000"):
        assert tiles.parse(path).path == path
    for path in ("64/000", "0/1", "00/000", "0/x000/001", "0/000.p/0", "0/000.p/256", "0/../x", "0/000/", ""):
        with pytest.raises(ValueError, match="no path"):
            tiles.parse(path)


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion(5, 5, TREE)
    with pytest.raises(ValueError, match="no prefix"):
        merkle.consistency(6, 5, TREE)
    assert not merkle.verify_inclusion(LEAVES[0], 1, 1, [], ROOTS[1])
    assert not merkle.verify_consistency(2, 1, [], ROOTS[2], ROOTS[1])


def _flipped(parts: list[bytes], data: st.DataObject) -> list[bytes]:
    which = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    return [*parts[:which], bytes(changed), *parts[which + 1 :]]
