"""Writing a generated dataset in the documented layout, byte for byte the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from trialbook.errors import Conflict
from trialbook_marketplace.baselines import BaselineUtilities, baseline_utilities
from trialbook_marketplace.datasets import BUSINESSES, CUSTOMERS
from trialbook_marketplace.generator import Generated, Recipe
from trialbook_marketplace.models import Business, Customer

BASELINES_FILE = "baseline_utilities.json"
RECIPE_FILE = "recipe.json"


class RecipeFile(msgspec.Struct, frozen=True):
    """The content of ``recipe.json``: how the dataset was made, and the mean price of every item."""

    recipe: Recipe
    item_means: dict[str, float]


def dataset_files(generated: Generated) -> dict[str, bytes]:
    """Relative path to content of every file of the dataset folder."""
    dataset = generated.dataset
    files = {f"{BUSINESSES}/{business.id}.yaml": _yaml(business) for business in dataset.businesses}
    files |= {f"{CUSTOMERS}/{customer.id}.yaml": _yaml(customer) for customer in dataset.customers}
    files[BASELINES_FILE] = _json(baseline_utilities(dataset, generated.recipe.seed))
    files[RECIPE_FILE] = _json(RecipeFile(generated.recipe, generated.item_means))
    return files


def write_dataset(generated: Generated, folder: Path) -> None:
    """Create ``folder`` with the dataset; raises ``Conflict`` (``folder_in_use``) when it already holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict("folder_in_use", f"{folder} already exists and is not empty")
    for name, content in dataset_files(generated).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def read_recipe(folder: Path) -> RecipeFile | None:
    """The recipe a dataset was generated from, or None; raises ``msgspec.ValidationError`` for a malformed file."""
    path = folder / RECIPE_FILE
    return msgspec.json.decode(path.read_bytes(), type=RecipeFile) if path.is_file() else None


def read_baselines(folder: Path) -> BaselineUtilities | None:
    """The stored baselines, or None; raises ``msgspec.ValidationError`` for a malformed file."""
    path = folder / BASELINES_FILE
    return msgspec.json.decode(path.read_bytes(), type=BaselineUtilities) if path.is_file() else None


def _yaml(party: Customer | Business) -> bytes:
    plain: dict[str, Any] = msgspec.to_builtins(party)
    del plain["type"]  # the model adds it; the files do without
    text: str = yaml.dump(plain, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text.encode()


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
