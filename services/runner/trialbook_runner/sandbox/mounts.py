"""What a program sees of the machine: the system and the virtual environment, read-only, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

BOX: Final = "/box"
"""The writable directory under bubblewrap."""
ROOTS: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC: Final = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime",
    "/etc/timezone", "/etc/mime.types", "/etc/ssl/certs", "/etc/nsswitch.conf",
)  # fmt: skip
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class System(msgspec.Struct, frozen=True, kw_only=True):
    """``trees``: read-only directories and files; ``links``: link -> target."""

    trees: tuple[str, ...]
    links: dict[str, str]
    python: str
    """The interpreter of the virtual environment."""
    path: str


def system(extra: tuple[str, ...] = ()) -> System:
    """This machine's. ``extra``: further directories to show read-only, at their own places."""
    trees, links = ["/usr"], {}
    for root in ROOTS:
        if Path(root).is_symlink():
            links[root] = str(Path(root).readlink())
        elif Path(root).is_dir():
            trees.append(root)
    trees += [name for name in ETC if Path(name).exists()]
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    for tree in sorted({*prefixes, *extra}):
        if not any(tree == shown or tree.startswith(shown + "/") for shown in trees):
            trees.append(tree)
    path = os.pathsep.join(dict.fromkeys([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]))
    return System(trees=tuple(trees), links=links, python=sys.executable, path=path)


def parents(paths: list[str]) -> list[str]:
    """The directories that have to exist for mounts, from the top, without those that are mounted themselves."""
    found: dict[str, None] = {}
    for path in paths:
        for parent in reversed(Path(path).parents):
            text = str(parent)
            if text != "/" and not any(text == p or text.startswith(p + "/") for p in paths):
                found[text] = None
    return list(found)
