"""Reading orders and amenities out of texts, and writing them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.marketplace.builders import customer
from trialbook_marketplace.agents.order_text import (
    MenuReader,
    confirmed,
    disclosed,
    disclosure,
    read_amenities,
    request_text,
)
from trialbook_marketplace.datasets import bundled_root, load_dataset

MENU = ["Bean Taco", "Taco", "Spicy Bean Taco", "Apple Tart", "Cherry", "Iced Tea", "Loaf"]
READER = MenuReader(MENU)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Hi!\nItems wanted: 1 x Taco; 2 x Iced Tea", {"Taco": 1, "Iced Tea": 2}),
        ("Items wanted: taco;  iced   TEA", {"Taco": 1, "Iced Tea": 1}),
        ("Items wanted: 1 x Tacos; 3 x Loaves; 1 x Cake", {"Taco": 1, "Loaf": 3}),
        ("Items wanted: 1 x Taco; 2 x Taco;", {"Taco": 3}),
        ("Items wanted: 0 x Taco", {}),
        ("Items wanted: 1 x Cake\nI also like a Taco", {}),
        ("Items wanted: 1 x Cake\nItems wanted: 1 x Taco", {"Taco": 1}),
        ("I want a bean taco", {"Bean Taco": 1}),
        ("Two spicy bean tacos and a taco, please", {"Taco": 1, "Spicy Bean Taco": 2}),
        ('I want 2 "Bean Taco" and 1 x Taco', {"Bean Taco": 2, "Taco": 1}),
        ("cherries (4), Apple Tarts (2x) and iced\n tea", {"Apple Tart": 2, "Cherry": 4, "Iced Tea": 1}),
        ('3x "Apple Tart"', {"Apple Tart": 3}),
        ("12 loaves", {"Loaf": 12}),
        ("steak and tacoma", {}),
        ("a taco. Another taco.", {"Taco": 2}),
        ("for 2 people a Taco", {"Taco": 1}),
        ("", {}),
    ],
)
def test_orders(text: str, order: dict[str, int]) -> None:
    assert READER.read(text) == order
    assert list(READER.read(text)) == [name for name in MENU if name in order]


def test_semicolons_inside_names_survive() -> None:
    buyer = customer(wants={"Soup; hot": 1.0, "Taco": 2.0})
    assert MenuReader(["Taco", "Soup; hot"]).read(request_text(buyer)) == {"Taco": 1, "Soup; hot": 1}


@pytest.mark.parametrize("name", ["mexican_3_9", "mexican_10_30"])
def test_prose_and_list_of_generated_requests_agree(name: str) -> None:
    dataset = load_dataset(bundled_root() / name)
    for buyer in dataset.customers:
        for seller in dataset.businesses:
            reader = MenuReader(seller.menu_features)
            assert reader.read(buyer.request) == reader.read(request_text(buyer))
            own = [item for item in seller.menu_features if item in buyer.menu_features]
            assert list(reader.read(request_text(buyer))) == own


OFFERED = {"Live Music": True, "Parking": False}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Amenities required: live  music; Parking; Sauna",
            [("live music", True), ("Parking", False), ("Sauna", False)],
        ),
        ("Is there PARKING?", [("Parking", False)]),
        ("parkings", None),
        ("no wish", None),
        ("Amenities required: ;", None),
    ],
)
def test_amenities(text: str, found: list[tuple[str, bool]] | None) -> None:
    assert read_amenities(text, OFFERED) == found


def test_disclosure_form() -> None:
    assert disclosure([("Live Music", True), ("Parking", False)]) == "Amenities: Live Music=yes; Parking=no"
    assert disclosed("Ready soon. Amenities: Live Music=yes; Parking=no") == {"live music": True, "parking": False}
    assert disclosed(None) == {}
    assert disclosed("Live Music=yes") == {}


def test_confirmed() -> None:
    assert confirmed(["live music"], "Amenities: Live Music=yes")
    assert not confirmed(["Live Music", "Parking"], "Amenities: Live Music=yes")
    assert not confirmed(["Live Music"], "Amenities: Live Music=no")
    assert not confirmed(["Live Music"], None)
    assert confirmed([], None)


def test_request_text() -> None:
    assert request_text(customer()) == "I want food.\nItems wanted: 1 x Taco; 1 x Soup\nAmenities required: Parking"
    assert request_text(customer(wants={}, needs=[])) == "I want food."


@given(st.text(max_size=80))
def test_any_text_is_readable(text: str) -> None:
    assert all(name in MENU and count >= 1 for name, count in READER.read(text).items())
    read_amenities(text, OFFERED)
    disclosed(text)


NAMES = st.lists(st.text("abcdefgh ", min_size=3, max_size=12).filter(str.strip), min_size=1, max_size=5)


@given(NAMES.map(lambda names: list(dict.fromkeys(" ".join(name.split()) for name in names))))
def test_what_is_written_is_read(names: list[str]) -> None:
    buyer = customer(wants=dict.fromkeys(names, 1.0))
    assert MenuReader(names).read(request_text(buyer)) == dict.fromkeys(names, 1)
