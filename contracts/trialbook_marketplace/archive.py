"""Datasets in one piece: as JSON, or as a ZIP archive of the documented folders."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from trialbook.errors import Invalid
from trialbook_marketplace.datasets import BUSINESSES, CUSTOMERS, MAX_FILES, MAX_TOTAL_BYTES, load_dataset
from trialbook_marketplace.models import Dataset
from trialbook_marketplace.yamlsafe import MAX_BYTES


def from_parts(name: str, customers: list[Any], businesses: list[Any]) -> Dataset:
    """A dataset from JSON-able members. Raises ``Invalid`` (``invalid_dataset``)."""
    try:
        dataset = msgspec.convert({"name": name, CUSTOMERS: customers, BUSINESSES: businesses}, Dataset)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    for word, found in ((BUSINESSES, dataset.businesses), (CUSTOMERS, dataset.customers)):
        if not found:
            raise _invalid(f"there are no {word}")
    ids = Counter([business.id for business in dataset.businesses] + [customer.id for customer in dataset.customers])
    for id_, times in ids.items():
        if times > 1:
            raise _invalid(f"duplicate id {id_!r}")
    return dataset


def from_zip(name: str, content: bytes) -> Dataset:
    """A dataset from an archive with ``customers/*.yaml`` and ``businesses/*.yaml``, at its top or in one folder.

    Other files are passed over. Raises ``Invalid`` (``invalid_dataset``).
    """
    with tempfile.TemporaryDirectory(prefix="trialbook-dataset-") as folder:
        root = Path(folder)
        for part in (CUSTOMERS, BUSINESSES):
            (root / part).mkdir()
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                _extract(archive, root)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as error:
            raise _invalid(f"the archive cannot be read: {error}") from None
        return load_dataset(root, name)


def _extract(archive: zipfile.ZipFile, root: Path) -> None:
    """Only what has a place in a dataset is written, under names of its own folder; sizes are not believed."""
    left, count = MAX_TOTAL_BYTES, 0
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        if entry.is_dir() or path.parent.name not in (CUSTOMERS, BUSINESSES) or len(path.parts) > 3:
            continue
        if path.suffix not in (".yaml", ".yml") or path.name.startswith("."):
            continue
        count += 1
        with archive.open(entry) as stream:
            read = stream.read(min(left, MAX_BYTES) + 1)
        left -= len(read)
        if left < 0 or len(read) > MAX_BYTES or count > MAX_FILES:
            raise _invalid(f"{path.name}: the archive holds more than a dataset may")
        target = root / path.parent.name / path.name
        if target.exists():
            raise _invalid(f"{path.parent.name}/{path.name} stands twice in the archive")
        target.write_bytes(read)


def _invalid(reason: str) -> Invalid:
    return Invalid("invalid_dataset", f"Invalid dataset: {reason}")
