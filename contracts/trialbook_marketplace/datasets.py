"""Datasets on disk: listing a root, resolving a name or path inside the allowed roots, and strict loading."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from trialbook.errors import Invalid, NotFound
from trialbook_marketplace.models import Business, Customer, Dataset
from trialbook_marketplace.yamlsafe import MAX_BYTES, YamlError, load_document

MAX_FILES = 5_000
MAX_TOTAL_BYTES = 67_108_864
BUSINESSES = "businesses"
CUSTOMERS = "customers"
_NOT_DATASETS = frozenset({"data_generation_scripts"})
_SUFFIXES = frozenset({".yaml", ".yml"})

Party = TypeVar("Party", Customer, Business)


class DatasetInfo(Struct, frozen=True):
    """One entry of the listing; ``path`` is the full path."""

    name: str
    path: str
    num_businesses: int
    num_customers: int


def bundled_root() -> Path:
    """The folder of the datasets shipped with this package."""
    return Path(__file__).resolve().parent / "data"


def list_datasets(root: Path) -> list[DatasetInfo]:
    """The direct children of ``root`` with both folders, sorted by name.

    Raises ``NotFound`` (``data_directory_not_found``) when there is no such root.
    """
    if not root.is_dir():
        raise NotFound("data_directory_not_found", f"Data directory not found: {root}")
    found = []
    for child in sorted(root.iterdir(), key=lambda path: path.name):
        if child.name.startswith(".") or child.name in _NOT_DATASETS or not _inside(child, root):
            continue
        counts = _counts(child)
        if counts is not None:
            found.append(DatasetInfo(child.name, str(child.resolve()), *counts))
    return found


def _counts(folder: Path) -> tuple[int, int] | None:
    """Numbers of business and customer files, or None for a folder that is no dataset or cannot be read."""
    try:
        if has_both_folders(folder):
            return len(_yaml_files(folder / BUSINESSES)), len(_yaml_files(folder / CUSTOMERS))
    except OSError:
        return None
    return None


def has_both_folders(path: Path) -> bool:
    """True when ``path`` holds a ``businesses`` and a ``customers`` folder."""
    return (path / BUSINESSES).is_dir() and (path / CUSTOMERS).is_dir()


def resolve_dataset(spec: str, roots: Sequence[Path], *, allow_outside: bool = False) -> Path:
    """The folder that ``spec`` (name, path below a root, or absolute path) means, symbolic links resolved.

    ``roots`` are tried in order. Whatever resolves outside all of them is ``NotFound`` (``dataset_not_found``),
    unless ``allow_outside`` is set and ``spec`` is absolute.
    """
    missing = NotFound("dataset_not_found", f"Dataset not found: {spec}")
    if not spec.strip() or "\0" in spec:
        raise missing
    absolute = Path(spec).is_absolute()
    for candidate in [Path(spec)] if absolute else [root / spec for root in roots]:
        try:
            resolved = candidate.resolve(strict=True)
            usable = resolved.is_dir()
        except (OSError, RuntimeError, ValueError):  # absent, too long, a loop of links, unencodable
            continue
        allowed = any(_strictly_inside(resolved, root) for root in roots)
        if usable and (allowed or (absolute and allow_outside)):
            return resolved
    raise missing


def load_dataset(path: Path, name: str | None = None) -> Dataset:
    """Read and validate a dataset folder; ``name`` defaults to the folder's name.

    Raises ``Invalid`` (``invalid_dataset``) with ``Invalid dataset: <file>: <reason>``.
    """
    if not has_both_folders(path):
        raise Invalid("invalid_dataset", "Invalid dataset: missing businesses/ or customers/ directories")
    files = {folder: _listed(path, folder) for folder in (BUSINESSES, CUSTOMERS)}
    if sum(len(listed) for listed in files.values()) > MAX_FILES:
        raise _invalid(BUSINESSES, f"more than {MAX_FILES} files in the dataset")
    budget = _Budget(MAX_TOTAL_BYTES)
    businesses = [_load_party(path, file, Business, budget) for file in files[BUSINESSES]]
    customers = [_load_party(path, file, Customer, budget) for file in files[CUSTOMERS]]
    _check_ids(path, files[BUSINESSES] + files[CUSTOMERS], [*businesses, *customers])
    return Dataset(name or path.name, customers, businesses)


class _Budget:
    """Bytes that may still be read for one dataset."""

    def __init__(self, total_bytes: int) -> None:
        self.left_bytes = total_bytes

    def spend(self, relative: str, size: int) -> None:
        self.left_bytes -= size
        if self.left_bytes < 0:
            raise _invalid(relative, f"the dataset is larger than {MAX_TOTAL_BYTES} bytes")


def _invalid(file: str, reason: str) -> Invalid:
    return Invalid("invalid_dataset", f"Invalid dataset: {file}: {reason}")


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False


def _strictly_inside(resolved: Path, root: Path) -> bool:
    try:
        base = root.resolve()
    except (OSError, RuntimeError):
        return False
    return resolved != base and resolved.is_relative_to(base)


def _yaml_files(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if file.suffix in _SUFFIXES and not file.name.startswith("."))
    return sorted(files, key=str)


def _listed(path: Path, folder: str) -> list[Path]:
    try:
        files = _yaml_files(path / folder)
    except OSError as error:
        raise _invalid(folder, f"cannot be listed: {error.strerror}") from None
    if not files:
        raise _invalid(folder, f"No YAML files found in {folder} directory: {path / folder}")
    return files


def _load_party(root: Path, file: Path, model: type[Party], budget: _Budget) -> Party:
    relative = file.relative_to(root).as_posix()
    raw = _read(root, file, relative)
    budget.spend(relative, len(raw))
    try:
        document: Any = load_document(raw)
        return msgspec.convert(document, model)
    except YamlError as error:
        raise _invalid(relative, str(error)) from None
    except msgspec.ValidationError as error:
        raise _invalid(relative, str(error)) from None


def _read(root: Path, file: Path, relative: str) -> bytes:
    """The file's bytes. Only a regular file inside the dataset is read: no pipe, device or link out of it."""
    if not _inside(file, root):
        raise _invalid(relative, "points outside the dataset")
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise _invalid(relative, "not a regular file")
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _invalid(relative, f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise _invalid(relative, f"larger than {MAX_BYTES} bytes")
    return raw


def _check_ids(root: Path, files: list[Path], parties: Sequence[Customer | Business]) -> None:
    first: dict[str, str] = {}
    for file, party in zip(files, parties, strict=True):
        relative = file.relative_to(root).as_posix()
        if party.id in first:
            raise _invalid(relative, f"duplicate id {party.id!r}, already used in {first[party.id]}")
        first[party.id] = relative
