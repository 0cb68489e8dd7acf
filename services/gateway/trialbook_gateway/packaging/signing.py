"""The ledger's key, for statements about artifacts and packages."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from trialbook.audit.signer import InvalidKey, Signer
from trialbook.errors import Unavailable

KEY, KEY_FILE = "TRIALBOOK_LEDGER_KEY", "TRIALBOOK_LEDGER_KEY_FILE"


async def signer() -> Signer:
    """The key as it is now. Raises ``Unavailable`` (``signing_not_configured``, ``signing_key_unreadable``)."""
    text = os.environ.get(KEY, "")
    file = os.environ.get(KEY_FILE, "")
    if not text and not file:
        raise Unavailable(
            "signing_not_configured",
            f"Statements are signed with the ledger's key: give it to the gateway in {KEY_FILE}.",
        )
    try:
        if not text:
            text = await asyncio.to_thread(Path(file).read_text, "ascii")
        return Signer.parse(text)
    except (OSError, ValueError, InvalidKey) as error:
        raise Unavailable("signing_key_unreadable", f"{KEY_FILE if file else KEY} holds no readable key.") from error
