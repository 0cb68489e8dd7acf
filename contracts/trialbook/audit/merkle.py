"""Merkle trees with the hashing of RFC 6962: heads, inclusion proofs, consistency proofs, and their verification.

A tree is read through a ``Subtree``: the hash of the complete subtree of ``2**height`` leaves that begins at leaf
``index * 2**height``. What a proof consists of is put together from those, whatever stores them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

Subtree = Callable[[int, int], bytes]
EMPTY = sha256(b"").digest()
"""Head of a tree without leaves."""
SIZE = 32
"""Bytes of a hash."""


def hash_leaf(entry: bytes) -> bytes:
    """Leaf hash of any entry."""
    return sha256(b"\0" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def head(leaves: Sequence[bytes]) -> bytes:
    """Head of the tree over leaf hashes, level by level: an odd one out moves up as it is."""
    if not leaves:
        return EMPTY
    digest, level = sha256, list(leaves)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        pairs = iter(level)
        level = [digest(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)] + odd
    return level[0]


def over(leaves: Sequence[bytes]) -> Subtree:
    """A ``Subtree`` over leaf hashes in memory."""

    def subtree(height: int, index: int) -> bytes:
        return head(leaves[index << height : (index + 1) << height])

    return subtree


def head_at(size: int, subtree: Subtree) -> bytes:
    """Head of the tree of the first ``size`` leaves."""
    return _span(0, size, subtree) if size else EMPTY


def inclusion(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves. Raises ``ValueError`` for a leaf not in it."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_span(middle, end, subtree))
            end = middle
        else:
            path.append(_span(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency(first: int, second: int, subtree: Subtree) -> list[bytes]:
    """Proof that the tree of ``first`` leaves is a prefix of that of ``second``. Raises ``ValueError`` unless
    ``0 <= first <= second``.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} is no prefix of one of {second}")
    if first in (0, second):
        return []
    path: list[bytes] = []
    start, end, known = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(_span(middle, end, subtree))
            end = middle
        else:
            path.append(_span(start, middle, subtree))
            start, known = middle, False
    if not known:
        path.append(_span(start, end, subtree))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether ``path`` proves that leaf hash ``leaf`` is leaf ``index`` of the tree of ``size`` with head ``root``."""
    if not 0 <= index < size or any(len(part) != SIZE for part in path):
        return False
    place, last, found = index, size - 1, leaf
    for part in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = hash_node(part, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = hash_node(found, part)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(first: int, second: int, path: Sequence[bytes], root: bytes, grown: bytes) -> bool:
    """Whether ``path`` proves that the tree of ``first`` with head ``root`` grew into that of ``second`` with
    ``grown``.
    """
    if not 0 <= first <= second or any(len(part) != SIZE for part in path):
        return False
    if first == second:
        return not path and root == grown
    if first == 0:
        return not path and root == EMPTY
    parts = list(path) if first & (first - 1) else [root, *path]
    if not parts:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = hash_node(part, old), hash_node(part, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = hash_node(new, part)
        place, last = place >> 1, last >> 1
    return last == 0 and old == root and new == grown


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _span(start: int, end: int, subtree: Subtree) -> bytes:
    """Hash of the leaves ``start`` to ``end``, of which ``start`` is where a subtree of that many begins."""
    parts: list[bytes] = []
    while start < end:
        count = end - start
        height = count.bit_length() - 1
        parts.append(subtree(height, start >> height))
        start += 1 << height
    found = parts.pop()
    while parts:
        found = hash_node(parts.pop(), found)
    return found


class Growing:
    """The head of a tree that only grows, from its leaf hashes in order; holds 255 of them and a few heads.

    With ``keep`` it also keeps the head of every full tile, in ``blocks``.
    """

    BLOCK = 256

    def __init__(self, *, keep: bool = False) -> None:
        self.size = 0
        self.blocks: bytearray | None = bytearray() if keep else None
        self._tail: list[bytes] = []
        self._heads: list[tuple[int, bytes]] = []  # (blocks, head), each fewer than the one before

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes."""
        self.size += len(leaves)
        self._tail += leaves
        used = 0
        while len(self._tail) - used >= self.BLOCK:
            self._push(head(self._tail[used : used + self.BLOCK]))
            used += self.BLOCK
        del self._tail[:used]

    def head(self) -> bytes:
        """Head of the tree now."""
        parts = [found for _, found in self._heads]
        if self._tail or not parts:
            parts.append(head(self._tail))
        found = parts.pop()
        while parts:
            found = hash_node(parts.pop(), found)
        return found

    def _push(self, found: bytes) -> None:
        if self.blocks is not None:
            self.blocks += found
        blocks = 1
        while self._heads and self._heads[-1][0] == blocks:
            blocks, found = blocks * 2, hash_node(self._heads.pop()[1], found)
        self._heads.append((blocks, found))
