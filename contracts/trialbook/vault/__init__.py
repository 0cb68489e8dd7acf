"""Personal data that can be erased: facts of a data subject carry it sealed under a key that can be destroyed."""

from __future__ import annotations

from trialbook.vault.keys import KEY_BYTES, Lost, MasterKey, master_key
from trialbook.vault.ring import KeyRing
from trialbook.vault.sealing import seal, unseal

__all__ = ["KEY_BYTES", "KeyRing", "Lost", "MasterKey", "master_key", "seal", "unseal"]
