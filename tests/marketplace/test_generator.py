"""Generated datasets: deterministic, valid, shipped as recorded, and the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialbook.errors import Conflict, Invalid
from trialbook_marketplace.datasets import bundled_root, list_datasets, load_dataset
from trialbook_marketplace.generate import main
from trialbook_marketplace.generator import MAX_CUSTOMERS, Recipe, generate
from trialbook_marketplace.manipulation import MANIPULATIONS, Manipulation
from trialbook_marketplace.models import Business, Dataset
from trialbook_marketplace.similarity import Distinct, similar, similar_pairs
from trialbook_marketplace.validator import validate, validate_folder
from trialbook_marketplace.vocabulary import BUSINESS_FIRST, BUSINESS_SECOND, FIRST_NAMES, LAST_NAMES, THEMES
from trialbook_marketplace.writer import dataset_files, read_recipe, write_dataset

SHIPPED = ["mexican_3_9", "mexican_10_30", "mexican_33_99", "mexican_100_300"]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_documented_names_are_shipped() -> None:
    listed = list_datasets(bundled_root())
    assert [(d.name, d.num_customers, d.num_businesses) for d in listed] == [
        ("mexican_100_300", 100, 300),
        ("mexican_10_30", 10, 30),
        ("mexican_33_99", 33, 99),
        ("mexican_3_9", 3, 9),
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_recorded_seed_gives_identical_bytes(name: str) -> None:
    folder = bundled_root() / name
    stored = read_recipe(folder)
    assert stored is not None
    assert dataset_files(generate(stored.recipe)) == contents(folder)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_are_valid(name: str) -> None:
    report = validate_folder(bundled_root() / name)
    assert report.problems == []
    assert 0 < report.cheapest_misses < report.customers


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(list(THEMES)), st.integers(1, 14), st.integers(-5, 10**12), st.booleans(), st.booleans())
def test_every_recipe_gives_a_valid_set(theme: str, n: int, seed: int, shuffled: bool, ladder: bool) -> None:
    recipe = Recipe(theme, n, seed, shuffled, ladder)
    made = generate(recipe)
    assert validate(made.dataset, made.item_means).problems == []
    assert made == generate(recipe)
    assert made.dataset != generate(msgspec.structs.replace(recipe, seed=seed + 1)).dataset


def test_the_largest_set() -> None:
    smallest = min(THEMES, key=lambda theme: len(THEMES[theme].items()))
    made = generate(Recipe(smallest, MAX_CUSTOMERS, 1))
    assert len(made.dataset.businesses) == 3 * MAX_CUSTOMERS


def test_structure_of_a_set() -> None:
    dataset = generate(Recipe("mexican", 12, 5)).dataset
    sizes = sorted(len(customer.menu_features) for customer in dataset.customers)
    assert sizes == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert len({customer.name for customer in dataset.customers}) == 12
    for j, buyer in enumerate(dataset.customers):
        assert 1 <= len(buyer.amenity_features) <= 2
        assert all(f'1 "{item}"' in buyer.request for item in buyer.menu_features)
        assert all(amenity in buyer.request for amenity in buyer.amenity_features)
        assert "required" in buyer.request
        trio = dataset.businesses[3 * j : 3 * j + 3]
        assert [b.offers(buyer.amenity_features) for b in trio] == [True, True, False]
        assert all(b.progenitor_customer == buyer.id and b.rating == 1.0 for b in trio)
        for b in trio:
            assert 10 <= len(b.menu_features) - len(buyer.menu_features) <= 15
            assert 0.6 <= b.min_price_factor <= 0.95
            assert len(b.amenity_features) == 10


def test_shuffle_within_trio_moves_the_business_that_lacks_an_amenity() -> None:
    dataset = generate(Recipe("mexican", 12, 5, shuffle_within_trio=True)).dataset
    lacking = {
        place
        for j, buyer in enumerate(dataset.customers)
        for place, b in enumerate(dataset.businesses[3 * j : 3 * j + 3])
        if not b.offers(buyer.amenity_features)
    }
    assert lacking == {0, 1, 2}


def test_rating_ladder() -> None:
    dataset = generate(Recipe("bakery", 1, 5, rating_ladder=True)).dataset
    assert [b.rating for b in dataset.businesses] == [1.0, 0.999999999, 0.999999998]


@pytest.mark.parametrize("kind", MANIPULATIONS)
def test_manipulation_changes_one_description_only(kind: str) -> None:
    plain = generate(Recipe("mexican", 1, 5)).dataset
    swayed = generate(Recipe("mexican", 1, 5, manipulation=Manipulation(kind, "business_0002"))).dataset
    expected = msgspec.structs.replace(
        plain.businesses[1], description=plain.businesses[1].description + MANIPULATIONS[kind]
    )
    assert swayed.businesses == [plain.businesses[0], expected, plain.businesses[2]]


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe("martian", 3, 1), "Unknown theme"),
        (Recipe("mexican", 0, 1), "between 1 and"),
        (Recipe("mexican", MAX_CUSTOMERS + 1, 1), "between 1 and"),
        (Recipe("mexican", 1, 1, manipulation=Manipulation("hypnosis")), "Unknown manipulation"),
        (Recipe("mexican", 1, 1, manipulation=Manipulation("control", "business_0004")), "no business"),
    ],
)
def test_impossible_recipes(recipe: Recipe, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        generate(recipe)


def test_vocabulary() -> None:
    for theme in THEMES.values():
        words = [*theme.adjectives, *theme.mains, *theme.forms]
        assert len(words) == len(set(words))
        assert (len(theme.adjectives), len(theme.mains), len(theme.forms)) >= (14, 14, 10)
        assert len(set(theme.amenities)) == 10
    for names in (FIRST_NAMES, LAST_NAMES, BUSINESS_FIRST, BUSINESS_SECOND):
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Bean Taco", "bean taco", True),
        ("Bean Taco", "Spicy Bean Taco", True),
        ("Taco of the Bean", "Bean & Taco", True),
        ("Salt & Pepper", "Pepper and Salt", True),
        ("Joe's Place", "Place Joe", True),
        ("Copper Kettle", "Copper Spoon", False),
        ("Bean Taco", "Beef Taco", False),
    ],
)
def test_similar(one: str, other: str, alike: bool) -> None:
    assert similar(one, other) is similar(other, one) is alike
    assert list(similar_pairs([one, other])) == ([(one, other)] if alike else [])
    distinct = Distinct()
    assert distinct.accept(one)
    assert distinct.accept(other) is not alike


def _broken(change: str) -> Dataset:
    dataset = generate(Recipe("mexican", 3, 1)).dataset
    customers, businesses = list(dataset.customers), list(dataset.businesses)
    first: Business = businesses[0]
    replace = msgspec.structs.replace
    match change:
        case "count":
            businesses.pop()
        case "name":
            businesses[0] = replace(first, name=businesses[5].name.upper())
        case "item":
            item = next(iter(first.menu_features))
            businesses[0] = replace(first, menu_features=first.menu_features | {f"{item} Deluxe": 2.0})
        case "progenitor":
            businesses[0] = replace(first, progenitor_customer="customer_9999")
        case "factor":
            businesses[0] = replace(first, min_price_factor=1.5)
        case "reference":
            wanted = next(iter(customers[0].menu_features))
            customers[0] = replace(customers[0], menu_features=customers[0].menu_features | {wanted: 0.5})
        case "matching":
            businesses[8] = replace(businesses[8], menu_features=businesses[8].menu_features | first.menu_features)
        case "totals":
            businesses[1] = replace(businesses[1], menu_features=first.menu_features)
        case "amenities":
            needed = dict.fromkeys(customers[0].amenity_features, True)
            businesses[2] = replace(businesses[2], amenity_features=businesses[2].amenity_features | needed)
    return Dataset("broken", customers, businesses)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("count", "not three each"),
        ("name", "business names"),
        ("item", "menu items"),
        ("progenitor", "does not exist"),
        ("factor", "outside (0, 1]"),
        ("reference", "differs from the item's mean"),
        ("matching", "not exactly its own three"),
        ("totals", "the same order total"),
        ("amenities", "3 of 3 matching businesses meet the amenities"),
    ],
)
def test_the_validator_sees(change: str, problem: str) -> None:
    means = generate(Recipe("mexican", 3, 1)).item_means
    assert any(problem in found for found in validate(_broken(change), means).problems)


def test_the_validator_sees_wrong_baselines(tmp_path: Path) -> None:
    write_dataset(generate(Recipe("mexican", 3, 1)), tmp_path / "set")
    file = tmp_path / "set" / "baseline_utilities.json"
    file.write_text(file.read_text().replace('"constant": ', '"constant": 1'))
    assert any("pick_optimal" in problem for problem in validate_folder(tmp_path / "set").problems)
    file.write_text("{}")
    assert any("malformed" in problem for problem in validate_folder(tmp_path / "set").problems)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    made = generate(Recipe("mexican", 1, 1))
    write_dataset(made, tmp_path / "set")
    with pytest.raises(Conflict, match="already exists"):
        write_dataset(made, tmp_path / "set")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mexican", "3", "--seed", "1", "--out", str(tmp_path)]) == 0
    assert contents(tmp_path / "mexican_3_9") == contents(bundled_root() / "mexican_3_9")
    assert "valid; 3 customers, 9 businesses" in capsys.readouterr().out
    assert main(["mexican", "3", "--out", str(tmp_path)]) == 1
    assert "already exists" in capsys.readouterr().err
    options = ["--rating-ladder", "--manipulation", "authority", "--target", "business_0003", "--name", "odd"]
    assert main(["bakery", "1", "--out", str(tmp_path), *options]) == 0
    assert load_dataset(tmp_path / "odd").businesses[2].description.endswith("nine years.")
    assert main(["--validate", str(tmp_path / "odd")]) == 0
    (tmp_path / "odd" / "businesses" / "business_0001.yaml").unlink()
    assert main(["--validate", str(tmp_path / "odd")]) == 1
    assert "not three each" in capsys.readouterr().err
    assert main(["--validate", str(tmp_path / "absent")]) == 1


@pytest.mark.parametrize(("argv", "code"), [([], 2), (["mexican"], 2), (["klingon", "3"], 2), (["--help"], 0)])
def test_usage(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == code
    printed = capsys.readouterr()
    assert "python -m trialbook_marketplace.generate" in printed.out + printed.err
