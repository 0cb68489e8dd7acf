"""Listing, resolving and loading datasets with the documented messages."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.errors import Invalid, NotFound
from trialbook_marketplace.datasets import bundled_root, list_datasets, load_dataset, resolve_dataset
from trialbook_marketplace.models import Dataset, from_snapshot

CUSTOMER = """\
id: customer_0001
name: Ines Okafor
request: I would like one Roasted Pepper Flatbread and one Iced Hibiscus Cooler.
menu_features: {Roasted Pepper Flatbread: 9.89, Iced Hibiscus Cooler: 4.29}
amenity_features: [Outdoor Seating]
"""
BUSINESS = """\
id: business_0001
name: Copper Kettle
description: Small plates and cold drinks in a quiet courtyard.
rating: 1.0
progenitor_customer: customer_0001
menu_features: {Maple Walnut Tart: 6.1, Roasted Pepper Flatbread: 9.42, Iced Hibiscus Cooler: 4.75}
amenity_features: {Outdoor Seating: true, Live Music: false}
min_price_factor: 0.81
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "root" / "set_1_1"
    for side, text in (("customers", CUSTOMER), ("businesses", BUSINESS)):
        (made / side).mkdir(parents=True)
        (made / side / "one.yaml").write_text(text)
    return made


def refusal(folder: Path) -> str:
    with pytest.raises(Invalid) as caught:
        load_dataset(folder)
    assert caught.value.code == "invalid_dataset"
    return caught.value.detail


def test_documented_example(folder: Path) -> None:
    dataset = load_dataset(folder)
    assert dataset.name == "set_1_1"
    assert dataset.customers[0].amenity_features == ["Outdoor Seating"]
    assert list(dataset.businesses[0].menu_features) == [
        "Maple Walnut Tart",
        "Roasted Pepper Flatbread",
        "Iced Hibiscus Cooler",
    ]
    assert msgspec.to_builtins(dataset.businesses[0])["type"] == "business"


def test_files_sorted_by_path_with_both_suffixes(folder: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.yaml"):
        (folder / "customers" / name).write_text(CUSTOMER.replace("customer_0001", f"customer_{name[0]}"))
    (folder / "customers" / "notes.txt").write_text("not yaml: [")
    (folder / "customers" / ".hidden.yaml").write_text("not yaml: [")
    ids = [customer.id for customer in load_dataset(folder).customers]
    assert ids == ["customer_a", "customer_b", "customer_c", "customer_0001"]


def test_missing_directory(folder: Path) -> None:
    shutil.rmtree(folder / "customers")
    assert refusal(folder) == "Invalid dataset: missing businesses/ or customers/ directories"


@pytest.mark.parametrize("side", ["businesses", "customers"])
def test_empty_directory(folder: Path, side: str) -> None:
    (folder / side / "one.yaml").unlink()
    reason = f"No YAML files found in {side} directory: {folder / side}"
    assert refusal(folder) == f"Invalid dataset: {side}: {reason}"


@pytest.mark.parametrize(
    ("side", "old", "new", "reason"),
    [
        ("customers", "name: Ines Okafor\n", "", "missing required field `name`"),
        ("customers", "id: customer_0001", "id: 7", "Expected `str`, got `int` - at `$.id`"),
        ("customers", "id: customer_0001", "id: ''", "length >= 1"),
        ("customers", "id: customer_0001", "type: business\nid: x", "Invalid value 'business'"),
        ("customers", "9.89", "cheap", "Expected `float`, got `str`"),
        ("customers", "9.89", ".nan", "Expected `float`"),
        ("customers", "9.89", ".inf", "Expected `float`"),
        ("customers", "9.89", "-1", "Expected `float` >= 0"),
        ("customers", "[Outdoor Seating]", "{Outdoor Seating: true}", "Expected `array`"),
        ("businesses", "rating: 1.0", "rating: 1.5", "Expected `float` <= 1.0"),
        ("businesses", "Live Music: false", "Live Music: 'no'", "Expected `bool`"),
        ("businesses", "min_price_factor: 0.81", "min_price_factor: 0", "Expected `float` > 0.0"),
        ("businesses", "min_price_factor: 0.81", "", "missing required field `min_price_factor`"),
        ("businesses", BUSINESS, "- a list", "Expected `object`, got `array`"),
        ("businesses", BUSINESS, "a: [", "not valid YAML"),
    ],
)
def test_wrong_content_names_file_and_reason(folder: Path, side: str, old: str, new: str, reason: str) -> None:
    file = folder / side / "one.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    detail = refusal(folder)
    assert detail.startswith(f"Invalid dataset: {side}/one.yaml: ")
    assert reason in detail


def test_duplicate_id_across_both_folders(folder: Path) -> None:
    (folder / "customers" / "two.yaml").write_text(CUSTOMER.replace("customer_0001", "business_0001"))
    assert refusal(folder) == (
        "Invalid dataset: customers/two.yaml: duplicate id 'business_0001', already used in businesses/one.yaml"
    )


def test_whole_numbers_are_prices_and_type_may_be_given(folder: Path) -> None:
    file = folder / "customers" / "one.yaml"
    file.write_text("type: customer\n" + CUSTOMER.replace("9.89", "10"))
    assert load_dataset(folder).customers[0].menu_features["Roasted Pepper Flatbread"] == 10.0


def test_link_out_of_the_dataset_is_refused_unread(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: hunter2")
    (folder / "customers" / "link.yaml").symlink_to(secret)
    assert refusal(folder) == "Invalid dataset: customers/link.yaml: points outside the dataset"


def test_pipe_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "customers" / "pipe.yaml")
    assert refusal(folder) == "Invalid dataset: customers/pipe.yaml: not a regular file"


def test_folder_named_like_a_file(folder: Path) -> None:
    (folder / "customers" / "odd.yaml").mkdir()
    assert refusal(folder).startswith("Invalid dataset: customers/odd.yaml: ")


def test_listing(folder: Path) -> None:
    root = folder.parent
    shutil.copytree(folder, root / ".hidden")
    shutil.copytree(folder, root / "data_generation_scripts")
    shutil.copytree(folder, root / "contractors" / "contractors_1_1")
    shutil.copytree(folder, root / "another_1_1")
    (root / "half" / "customers").mkdir(parents=True)
    (root / "file").write_text("")
    listed = list_datasets(root)
    assert [(info.name, info.num_businesses, info.num_customers) for info in listed] == [
        ("another_1_1", 1, 1),
        ("set_1_1", 1, 1),
    ]
    assert listed[1].path == str(folder)


def test_listing_without_root(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Data directory not found: "):
        list_datasets(tmp_path / "absent")


def test_resolving_inside_the_roots(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other / "nested" / "deep_1_1")
    roots = [folder.parent, other]
    assert resolve_dataset("set_1_1", roots) == folder
    assert resolve_dataset("nested/deep_1_1", roots) == other / "nested" / "deep_1_1"
    assert resolve_dataset(str(folder), roots) == folder
    assert resolve_dataset("set_1_1/../set_1_1", roots) == folder


@pytest.mark.parametrize("spec", ["absent", "", " ", ".", "..", "../outside", "a\0b", "x" * 5000, "link", "loop", "~"])
def test_not_found(folder: Path, tmp_path: Path, spec: str) -> None:
    shutil.copytree(folder, tmp_path / "outside")
    (folder.parent / "link").symlink_to(tmp_path / "outside")
    (folder.parent / "loop").symlink_to("loop")
    with pytest.raises(NotFound) as caught:
        resolve_dataset(spec, [folder.parent])
    assert caught.value.detail == f"Dataset not found: {spec}"


def test_absolute_path_outside_only_when_allowed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(folder, outside)
    with pytest.raises(NotFound):
        resolve_dataset(str(outside), [folder.parent])
    assert resolve_dataset(str(outside), [folder.parent], allow_outside=True) == outside
    with pytest.raises(NotFound):
        resolve_dataset("../../outside", [folder.parent], allow_outside=True)


def test_linked_dataset_outside_is_not_listed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "outside")
    (folder.parent / "link").symlink_to(tmp_path / "outside")
    assert [info.name for info in list_datasets(folder.parent)] == ["set_1_1"]


def test_digest_is_of_the_content(folder: Path) -> None:
    before = load_dataset(folder).digest()
    file = folder / "businesses" / "one.yaml"
    file.write_text("# a comment\n" + BUSINESS)
    assert load_dataset(folder, "another name").digest() == before
    file.write_text(BUSINESS.replace("9.42", "9.43"))
    assert load_dataset(folder).digest() != before


def test_menu_order_counts_for_the_digest(folder: Path) -> None:
    before = load_dataset(folder).digest()
    swapped = "{Roasted Pepper Flatbread: 9.42, Maple Walnut Tart: 6.1, Iced Hibiscus Cooler: 4.75}"
    file = folder / "businesses" / "one.yaml"
    lines = BUSINESS.splitlines()
    lines[5] = f"menu_features: {swapped}"
    file.write_text("\n".join(lines))
    assert load_dataset(folder).digest() != before


@pytest.mark.parametrize("name", ["mexican_3_9", "mexican_10_30"])
def test_snapshot_survives_json(name: str) -> None:
    dataset = load_dataset(bundled_root() / name)
    wire = msgspec.json.encode(dataset.snapshot())
    again = from_snapshot(msgspec.json.decode(wire))
    assert again == dataset
    assert [list(b.menu_features) for b in again.businesses] == [list(b.menu_features) for b in dataset.businesses]


def test_tampered_snapshot() -> None:
    snapshot = load_dataset(bundled_root() / "mexican_3_9").snapshot()
    snapshot["customers"][0]["name"] = "Mallory"
    with pytest.raises(Invalid, match="digest"):
        from_snapshot(snapshot)
    with pytest.raises(Invalid, match="snapshot"):
        from_snapshot({"name": "x"})


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.integers(), st.text(max_size=8)), max_size=4))
def test_any_snapshot_is_a_dataset_or_refused(plain: dict[str, object]) -> None:
    with contextlib.suppress(Invalid):  # any other exception is a failure
        assert isinstance(from_snapshot(plain), Dataset)
