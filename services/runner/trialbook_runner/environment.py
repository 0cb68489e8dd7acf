"""What an attempt runs in: versions, and the list of installed packages, stored once under its digest."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator
from importlib.metadata import distributions

from trialbook import __version__
from trialbook.ports import BlobStore


def installed() -> bytes:
    """``name==version`` of every installed distribution, one per line, sorted."""
    found = {f"{d.metadata['Name']}=={d.version}" for d in distributions() if d.metadata["Name"]}
    return "".join(f"{line}\n" for line in sorted(found, key=str.lower)).encode()


async def describe(blobs: BlobStore) -> dict[str, str]:
    """What ``run.started`` says of it; ``packages`` is the sha256 of the stored list. Raises ``Unavailable``."""

    async def chunks() -> AsyncIterator[bytes]:
        yield installed()

    info = await blobs.put(chunks())
    return {
        "trialbook": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": info.sha256,
    }
