"""Customers, businesses and the dataset that holds them."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from trialbook.errors import Invalid

AgentId = Annotated[str, Meta(min_length=1, max_length=200)]
Name = Annotated[str, Meta(max_length=500)]
Prose = Annotated[str, Meta(max_length=20_000)]
ItemName = Annotated[str, Meta(min_length=1, max_length=500)]
Price = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
PriceFactor = Annotated[float, Meta(gt=0, le=1)]


class Customer(Struct, frozen=True, tag_field="type", tag="customer"):
    """A buyer: ``menu_features`` maps wanted item to reference price, ``amenity_features`` are required."""

    id: AgentId
    name: Name
    request: Prose
    menu_features: dict[ItemName, Price]
    amenity_features: list[ItemName]


class Business(Struct, frozen=True, tag_field="type", tag="business"):
    """A seller: ``menu_features`` maps item to price, in the order of item ids; amenities map to offered or not."""

    id: AgentId
    name: Name
    description: Prose
    rating: Fraction
    progenitor_customer: Name
    menu_features: dict[ItemName, Price]
    amenity_features: dict[ItemName, bool]
    min_price_factor: PriceFactor

    def offers(self, amenities: list[str]) -> bool:
        """True when every one of ``amenities`` is offered."""
        return all(self.amenity_features.get(amenity, False) for amenity in amenities)

    def order_total(self, items: dict[str, float]) -> float | None:
        """Sum of menu prices of ``items``, rounded to cents; None when one of them is not on the menu."""
        if any(item not in self.menu_features for item in items):
            return None
        return round(math.fsum(self.menu_features[item] for item in items), 2)


class Dataset(Struct, frozen=True):
    """Customers and businesses in file order, under the name the run reports."""

    name: str
    customers: list[Customer]
    businesses: list[Business]

    def digest(self) -> str:
        """SHA-256 (hex) of the content; the name and the spelling of the files do not count."""
        content = msgspec.json.encode([self.customers, self.businesses])
        return hashlib.sha256(content).hexdigest()

    def snapshot(self) -> dict[str, Any]:
        """A JSON-able copy with its digest, from which ``from_snapshot`` rebuilds the dataset."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain | {"digest": self.digest()}


def from_snapshot(snapshot: dict[str, Any]) -> Dataset:
    """The dataset of ``Dataset.snapshot``; raises ``Invalid`` for a malformed one or another digest."""
    try:
        dataset = msgspec.convert(snapshot, Dataset)
    except msgspec.ValidationError as error:
        raise Invalid("invalid_dataset", f"Invalid dataset: snapshot: {error}") from None
    if snapshot.get("digest") != dataset.digest():
        raise Invalid("invalid_dataset", "Invalid dataset: snapshot: the digest does not match the content")
    return dataset
