"""Profiles by name, by installed package, by module, by file; and what is told when that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from trialbook.algomancy import Profile, ProfileError, load_profile

MINE = """
from dataclasses import dataclass
from trialbook.algomancy import Profile, algorithm

@dataclass
class Offer:
    price: float

@algorithm("Mine")
def mine(data, values, progress):
    return {}

profile = Profile(title="Mine", algorithms=[mine])
other = Profile(title="Other", algorithms=[])
number = 5
"""


@pytest.mark.parametrize(
    ("name", "title", "algorithms", "kpis"),
    [
        (
            "slotting",
            "Algomancy API (Example)",
            [
                "AsIs Slotting",
                "Greedy Slotting",
                "SA Slotting",
                "Instant",
                "Long Progress",
                "Failure Modes",
                "Parameter Matrix",
                "Exact Slotting",
            ],
            ["Travel Distance", "Zone Balance", "Reslot Cost"],
        ),
        ("conformance", "Algomancy API", ["Slow"], ["Delay"]),
        ("tours", "Tours", ["Nearest Neighbour", "Simulated Annealing", "Solver"], ["Total_costs"]),
        ("facilities", "Facilities", ["Greedy", "Exact"], ["Cost", "Open Sites", "Service Level"]),
    ],
)
def test_the_bundled_ones(name: str, title: str, algorithms: list[str], kpis: list[str]) -> None:
    profile = load_profile(name)
    assert profile.title == title
    assert [algorithm.name for algorithm in profile.algorithms] == algorithms
    assert [kpi.key for kpi in profile.kpis] == kpis


def test_slotting_is_the_default() -> None:
    profile = load_profile()
    assert profile.title == "Algomancy API (Example)"
    assert (profile.autocreate, profile.default_algorithm, profile.autorun) == (True, "Instant", False)
    assert list(profile.datasets()) == ["example_data"]
    assert list(profile.cors_origins) == []


def test_conformance_begins_with_nothing() -> None:
    profile = load_profile("conformance")
    assert (profile.autocreate, profile.autorun, profile.datasets()) == (False, False, {})
    assert list(profile.cors_origins) == ["http://example.com"]
    [delay] = profile.kpis
    assert (delay.display_name, delay.unit, delay.better_when, delay.threshold) == (
        "Average Delay", "s", "AT_MOST", 1200,
    )  # fmt: skip


def test_a_module_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profile_of_mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_profile("profile_of_mine").title == "Mine"
    assert load_profile("profile_of_mine:other").title == "Other"


def test_a_file_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file_of_mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    assert load_profile("file_of_mine.py").title == "Mine"
    assert load_profile("./file_of_mine.py:other").title == "Other"
    assert load_profile(str(tmp_path / "file_of_mine.py")).title == "Mine"
    first = load_profile("file_of_mine.py")
    monkeypatch.chdir("/")
    assert load_profile("file_of_mine.py") is first  # as in a process that works elsewhere


def test_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packaged_profile.py").write_text(MINE)
    info = tmp_path / "packaged_profile-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: packaged-profile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[trialbook.algomancy]\npackaged = packaged_profile:other\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_profile("packaged").title == "Other"
    with pytest.raises(ProfileError, match="packaged"):  # listed among the known ones
        load_profile("unpackaged")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sloting", r"Unknown profile 'sloting'\. Known: slotting, conformance, tours, facilities.*; or give a module"),
        ("no.such.module", "Unknown profile"),
        ("missing.py", "there is no such file"),
        ("broken_profile", r"cannot be loaded: ZeroDivisionError"),
        ("needy_profile", "needs the module 'no_such_library_at_all', which is not installed"),
        ("good_profile:number", "is a int, no Profile"),
        ("good_profile:absent", "good_profile has no 'absent'; write `absent = Profile"),
        ("broken_file.py", "cannot be loaded: SyntaxError"),
        ("", "Unknown profile ''"),
    ],
)
def test_what_is_wrong_is_told(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_profile.py").write_text("1 / 0")
    (tmp_path / "needy_profile.py").write_text("import no_such_library_at_all")
    (tmp_path / "good_profile.py").write_text(MINE)
    (tmp_path / "broken_file.py").write_text("def")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match=text):
        load_profile(name)


def test_every_bundled_profile_describes_itself() -> None:
    for name in ("slotting", "conformance", "tours", "facilities"):
        profile = load_profile(name)
        assert isinstance(profile, Profile)
        assert all(algorithm.description for algorithm in profile.algorithms), name
