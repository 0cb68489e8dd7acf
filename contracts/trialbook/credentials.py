"""Connect with the seed file that `trialbook nats user add` wrote, without the package `nkeys`.

With that package installed plain nats-py does the same: ``nats.connect(url, nkeys_seed="alice.nk")``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nats.aio.client import Client

from trialbook.nkeys import UserKey, user_of


class NkeyClient(Client):
    """nats-py's client; its option ``nkeys_seed`` is signed for here."""

    def _setup_nkeys_seed_connect(self) -> None:
        """Read again for each signature, so that a rotated seed is taken up by the next reconnect."""
        self._public_nkey = self._user().public
        self._signature_cb = lambda nonce: self._user().sign(nonce)

    def _user(self) -> UserKey:
        text = self._nkeys_seed_str
        return user_of(Path(str(self._nkeys_seed)).read_text() if text is None else text)


async def connect(url: str, seed_file: str | Path, **options: Any) -> Client:
    """A connected client; ``options`` are those of ``nats.connect``.

    Raises what that raises, ``OSError`` for a file that cannot be read, ``Invalid`` (code ``invalid_seed``).
    """
    client = NkeyClient()
    await client.connect(url, nkeys_seed=str(seed_file), **options)
    return client
