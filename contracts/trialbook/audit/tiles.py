"""The tree in tiles of 256 hashes (C2SP tlog-tiles, height 8): where a hash lies, and the tree read from tiles.

A tile of level 0 holds leaf hashes; one of level ``l`` the heads of 256 full tiles of level ``l - 1``. The last tile of
a level may be partial. Nothing here reads or writes: a tile comes from the function it is asked of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from trialbook.audit.merkle import SIZE, Subtree, head

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_LEVEL = 63
_PATH = re.compile(r"(0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Tile(NamedTuple):
    """One tile; ``width`` is how many hashes of it are meant, 1 to 256."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """``<level>/<index in groups of three digits>``, with ``.p/<width>`` when partial."""
        groups = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"{self.level}/{'/'.join(groups)}{partial}"


Read = Callable[[Tile], bytes]
"""The bytes of a tile: 32 for each hash. Raises what the reader's store raises when there is no such tile."""


def parse(path: str) -> Tile:
    """A tile by its path. Raises ``ValueError`` for what is no path of a tile."""
    found = _PATH.fullmatch(path)
    if found is None or int(found[1]) > MAX_LEVEL:
        raise ValueError(f"{path[:80]!r} is no path of a tile")
    tile = Tile(int(found[1]), int(found[2].replace("x", "").replace("/", "")), int(found[3] or WIDTH))
    if tile.width > WIDTH or tile.path != path:
        raise ValueError(f"{path[:80]!r} is no path of a tile")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of the tree of ``size`` leaves, level by level."""
    level, count = 0, size
    while count:
        full, rest = divmod(count, WIDTH)
        for index in range(full):
            yield Tile(level, index)
        if rest:
            yield Tile(level, full, rest)
        level, count = level + 1, full


def subtrees(size: int, read: Read) -> Subtree:
    """The tree of ``size`` leaves, read from its tiles; each tile is read once for as long as this is kept."""
    kept: dict[tuple[int, int], bytes] = {}

    def tile(level: int, index: int) -> bytes:
        found = kept.get((level, index))
        if found is None:
            width = min(WIDTH, (size >> HEIGHT * level) - index * WIDTH)
            found = kept[level, index] = read(Tile(level, index, width))
            if len(found) != width * SIZE:
                raise ValueError(f"tile {level}/{index} has {len(found)} bytes instead of {width * SIZE}")
        return found

    def subtree(height: int, index: int) -> bytes:
        level, inner = divmod(height, HEIGHT)
        first = index << inner
        content = tile(level, first >> HEIGHT)
        offset = first % WIDTH * SIZE
        return head(hashes(content[offset : offset + (SIZE << inner)]))

    return subtree


def hashes(content: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [content[place : place + SIZE] for place in range(0, len(content), SIZE)]
