"""What an order of an experiment is made of: a folder as an archive, settings from a file, the name of its export."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from trialbook_deploy.commands.kit import complain, usage_error
from trialbook_deploy.commands.values import json_or_text

PARTS = ("customers", "businesses")
SUFFIXES = frozenset({".yaml", ".yml"})
DIGEST_CHARACTERS = 8
FROM_ENV = {
    "LLM_PROVIDER": "llm_provider", "API_PROVIDER": "llm_provider", "LLM_MODEL": "llm_model", "AME_MODEL": "llm_model",
    "LLM_TEMPERATURE": "llm_temperature", "LLM_REASONING_EFFORT": "llm_reasoning_effort",
    "REASONING_EFFORT": "llm_reasoning_effort", "LLM_MAX_TOKENS": "llm_max_tokens",
}  # fmt: skip
"""Variable -> member of the order; of two for one member the first that is set wins."""


class Folder(msgspec.Struct, frozen=True):
    """A dataset folder to be uploaded. The name tells its content, so that the same folder is stored once."""

    name: str
    archive: bytes


def archived(dataset: str) -> Folder | None:
    """The folder of that path; None when there is none, so that a known dataset is meant."""
    path = Path(dataset).expanduser()
    if not path.is_dir():
        if os.sep in dataset:
            usage_error(f"{dataset} is no folder.")
        return None
    files = [file for part in PARTS for file in sorted((path / part).glob("*")) if file.suffix in SUFFIXES]
    if {file.parent.name for file in files} != set(PARTS):
        usage_error(f"{dataset} is no dataset: it needs folders customers and businesses with YAML files.")
    content, digest = io.BytesIO(), hashlib.sha256()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            name, data = f"{file.parent.name}/{file.name}", file.read_bytes()
            archive.writestr(name, data)
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return Folder(f"{path.resolve().name}-{digest.hexdigest()[:DIGEST_CHARACTERS]}", content.getvalue())


def settings_of(path: Path) -> dict[str, Any]:
    """Members of an order from a file of ``NAME=value`` lines. What an order cannot carry is said by its name."""
    found: dict[str, Any] = {}
    left: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier():
            usage_error(f"--env-file {path}, line {number}: not of the form NAME=value.")
        if name not in FROM_ENV:
            left.append(name)
        elif plain := _unquoted(value):
            member = FROM_ENV[name]
            known = member in ("llm_provider", "llm_model")
            found.setdefault(member, plain if known else json_or_text(plain))
    if left:
        complain(f"not sent from {path}: {', '.join(sorted(left))}; set them in the environment of the runners")
    return found


def _unquoted(value: str) -> str:
    for quote in "\"'":
        if len(value) >= 2 and value[0] == value[-1] == quote:
            return value[1:-1]
    return value.partition(" #")[0].strip()


class Destination(msgspec.Struct, frozen=True):
    """Where an export goes; without a name under the experiment's."""

    folder: Path
    name: str | None

    def path(self, experiment: str) -> Path:
        """The file, in a folder that exists then."""
        from trialbook_marketplace.export import export_filename

        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / export_filename(self.name, experiment)


def destination(folder: Path, name: str | None) -> Destination:
    """From the options; a name that is no plain file name ends the command as wrong usage."""
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        usage_error(f"--export-filename {name!r} is no plain file name.")
    return Destination(folder, name)
