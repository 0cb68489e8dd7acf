"""Public keys as they are named on the command line: as text, as a file, or those of a stack on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trialbook.audit.signer import InvalidKey, PublicKey, Signer, parse_public
from trialbook_deploy.errors import DeployError
from trialbook_deploy.ledger_key import FILE, FOLDER

RETIRED = ".retired-"


def public_keys(named: Sequence[str], data_dir: Path) -> list[PublicKey]:
    """The keys named, or those of the stack in ``data_dir``, the oldest first. Raises DeployError."""
    if named:
        return [_public(text) for text in named]
    path = data_dir / FOLDER / FILE
    if not path.exists():
        raise DeployError(f"There is no key in {path.parent}. Name the log's public key with --key.")
    retired = sorted(path.parent.glob(f"{FILE}{RETIRED}*"), key=lambda one: one.name)
    return [*(parse_public(one.read_text()) for one in retired), secret_key(path).public]


def secret_key(path: Path) -> Signer:
    """The secret key in a file. Raises DeployError."""
    try:
        return Signer.parse(path.read_text())
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}.") from None
    except InvalidKey as error:
        raise DeployError(f"{path} is no secret key: {error}.") from None


def _public(text: str) -> PublicKey:
    path = Path(text)
    try:
        return parse_public(path.read_text() if "+" not in text or path.is_file() else text)
    except OSError as error:
        raise DeployError(f"{text} is neither a key nor a file with one: {error.strerror}.") from None
    except InvalidKey as error:
        raise DeployError(f"{text[:80]!r} is no public key: {error}.") from None
