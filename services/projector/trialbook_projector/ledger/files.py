"""The tree on disk: one append-only file per level of tiles, and a small file that says how many leaves count.

``level-0`` holds the leaf hashes one after the other, ``level-1`` the heads of its full tiles, and so on. Leaves are on
disk before the number in ``size`` includes them; what lies behind that number was torn by a crash and is written again
from the ledger. Higher levels follow from the lower ones and are mended from them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from trialbook.audit import merkle
from trialbook.audit.merkle import SIZE
from trialbook.audit.tiles import HEIGHT, WIDTH, Tile, hashes, subtrees

log = logging.getLogger(__name__)
LEVELS = 8
"""256**8 leaves are more than sequences there are."""
SIZE_FILE = "size"
AT_ONCE = 1 << 16


class TileFiles:
    """Reads the tiles below ``folder``; ``size`` leaves count."""

    def __init__(self, folder: Path, size: int, *, write: bool = False) -> None:
        self.size = size
        self._folder = folder
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        names = [folder / f"level-{level}" for level in range(LEVELS)]
        self._files = [os.open(name, flags | os.O_CLOEXEC, 0o600) for name in names if write or name.exists()]

    def close(self) -> None:
        """Close the files."""
        for number in self._files:
            os.close(number)
        self._files.clear()

    def read(self, tile: Tile) -> bytes:
        """The bytes of a tile. Raises ``LookupError`` for one that the tree does not have."""
        count = (self.size >> HEIGHT * tile.level) - tile.number * WIDTH
        if tile.level >= len(self._files) or count < tile.width:
            raise LookupError(f"the tree of {self.size} has no tile {tile.path}")
        return self._pread(tile.level, tile.number * WIDTH, tile.width)

    def span(self, first: int, last: int) -> bytes:
        """Leaf hashes of the facts ``first`` to ``last``, one after the other."""
        return self._pread(0, first - 1, last - first + 1)

    def level(self, level: int, count: int) -> bytes:
        """The first ``count`` hashes of a level."""
        return self._pread(level, 0, count) if level < len(self._files) else b""

    def head(self, size: int) -> bytes:
        """Head of the tree of the first ``size`` leaves. Raises ``LookupError`` when there are fewer."""
        if size > self.size:
            raise LookupError(f"the tree has {self.size} leaves, not {size}")
        return merkle.head_at(size, self.tree(size))

    def tree(self, size: int) -> merkle.Subtree:
        """The tree of the first ``size`` leaves."""
        return subtrees(size, self.read)

    def _pread(self, level: int, first: int, count: int) -> bytes:
        return os.pread(self._files[level], count * SIZE, first * SIZE)


class TileWriter(TileFiles):
    """Adds to the tiles. One writer at a time; not for the event loop."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(folder, _size_said(folder), write=True)
        present = os.fstat(self._files[0]).st_size // SIZE
        if present < self.size:
            log.error("%s holds %d hashes, not %d; reading the rest of the ledger again", folder, present, self.size)
            self.size = present
        os.ftruncate(self._files[0], self.size * SIZE)
        self._tails: list[list[bytes]] = []
        for level in range(LEVELS):
            count = self.size >> HEIGHT * level
            if level:
                self._mend(level, count)
            whole = count // WIDTH * WIDTH
            self._tails.append(hashes(self._pread(level, whole, count - whole)))

    def append(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes; when it returns they are on disk and count."""
        _write(self._files[0], b"".join(leaves), self.size * SIZE)
        os.fsync(self._files[0])
        self._raise_tails(leaves)
        size = self.size + len(leaves)
        part = self._folder / f"{SIZE_FILE}.part"
        part.write_text(f"{size}\n")
        part.replace(self._folder / SIZE_FILE)
        self.size = size

    def rewrite(self) -> None:
        """Make every higher level anew from the leaf hashes."""
        for level in range(1, LEVELS):
            os.ftruncate(self._files[level], 0)
            self._mend(level, self.size >> HEIGHT * level)
            count = self.size >> HEIGHT * level
            whole = count // WIDTH * WIDTH
            self._tails[level] = hashes(self._pread(level, whole, count - whole))

    def clear(self) -> None:
        """Forget every hash."""
        (self._folder / SIZE_FILE).unlink(missing_ok=True)
        for number in self._files:
            os.ftruncate(number, 0)
        self.size = 0
        self._tails = [[] for _ in range(LEVELS)]

    def _raise_tails(self, leaves: Sequence[bytes]) -> None:
        """Add to the open tile of each level, and the head of each that is full to the level above."""
        added: Sequence[bytes] = leaves
        for level in range(LEVELS):
            if level:
                _write(self._files[level], b"".join(added), (self.size >> HEIGHT * level) * SIZE)
            tail = [*self._tails[level], *added]
            full = len(tail) // WIDTH
            added = [merkle.head(tail[number * WIDTH : (number + 1) * WIDTH]) for number in range(full)]
            self._tails[level] = tail[full * WIDTH :]

    def _mend(self, level: int, count: int) -> None:
        """Bring a higher level to ``count`` heads, from the level below."""
        number = self._files[level]
        os.ftruncate(number, min(count, os.fstat(number).st_size // SIZE) * SIZE)
        for index in range(os.fstat(number).st_size // SIZE, count):
            head = merkle.head(hashes(self._pread(level - 1, index * WIDTH, WIDTH)))
            _write(number, head, index * SIZE)


def _size_said(folder: Path) -> int:
    """How many leaves count; 0 when that cannot be read."""
    try:
        return max(0, int((folder / SIZE_FILE).read_text()))
    except FileNotFoundError:
        return 0
    except ValueError:
        log.error("%s cannot be read; reading the whole ledger again", folder / SIZE_FILE)  # noqa: TRY400 - no traceback
        return 0


def _write(number: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(number, view, offset)
        view, offset = view[written:], offset + written
