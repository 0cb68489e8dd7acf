"""Settings of the ledger's proof, from the environment of the projector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from trialbook.audit.checkpoint import is_origin
from trialbook.audit.signer import LOG, InvalidKey, PublicKey, Signer, parse_public
from trialbook.errors import Invalid

FOLDER = "ledger"


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``folder`` holds the tiles. Without ``key_file`` and ``key`` nothing is signed."""

    folder: Path
    key_file: Path | None = None
    key: str = ""
    public_keys: tuple[PublicKey, ...] = ()
    """Those that the log's notes began with, when they are not that of the key; see ``trialbook audit key``."""
    checkpoint_s: float = 60.0
    verify_s: float = 3600.0

    def signer(self) -> Signer | None:
        """The key as it is now (a file may change), or None. Raises ``Invalid`` (code ``invalid_setting``)."""
        name = "TRIALBOOK_LEDGER_KEY"
        text = self.key
        if not text and self.key_file is not None:
            name = str(self.key_file)
            try:
                text = self.key_file.read_text()
            except OSError as error:
                raise Invalid("invalid_setting", f"{name} cannot be read: {error.strerror}.") from None
        if not text:
            return None
        try:
            signer = Signer.parse(text)
        except InvalidKey as error:
            raise Invalid("invalid_setting", f"{name} is no key: {error}.") from None
        if signer.public.kind != LOG or not is_origin(signer.name):
            raise Invalid("invalid_setting", f"{name} must be the key of a log whose name is letters, digits, ._-/: .")
        return signer

    def trusted(self, signer: Signer | None) -> list[PublicKey]:
        """The keys that notes may begin with: as configured, or our own and those that it replaced."""
        if self.public_keys or signer is None:
            return list(self.public_keys)
        return [*retired(self.key_file), signer.public]


def retired(key_file: Path | None) -> list[PublicKey]:
    """Public keys of the files that ``trialbook audit rotate-key`` leaves beside the key, the oldest first."""
    if key_file is None:
        return []
    files = sorted(key_file.parent.glob(f"{key_file.name}.retired-*"), key=lambda path: path.name)
    return [parse_public(path.read_text()) for path in files]


def ledger_settings(environment: Mapping[str, str], data_dir: Path) -> LedgerSettings:
    """Read the key, its file, older public keys, and how often to sign and to verify.

    Raises ``Invalid`` (code ``invalid_setting``).
    """
    file = environment.get("TRIALBOOK_LEDGER_KEY_FILE", "")
    texts = environment.get("TRIALBOOK_LEDGER_PUBLIC_KEYS", "").split()
    try:
        keys = tuple(parse_public(text) for text in texts)
    except InvalidKey as error:
        raise Invalid("invalid_setting", f"TRIALBOOK_LEDGER_PUBLIC_KEYS: {error}.") from None
    found = LedgerSettings(
        folder=data_dir / FOLDER, key_file=Path(file) if file else None,
        key=environment.get("TRIALBOOK_LEDGER_KEY", ""), public_keys=keys,
        checkpoint_s=_seconds(environment, "TRIALBOOK_CHECKPOINT_SECONDS", 60.0),
        verify_s=_seconds(environment, "TRIALBOOK_VERIFY_SECONDS", 3600.0),
    )  # fmt: skip
    found.signer()
    return found


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 1e7:
        raise Invalid("invalid_setting", f"{name} must be seconds, 0.1 or more, not {text!r}.")
    return seconds
