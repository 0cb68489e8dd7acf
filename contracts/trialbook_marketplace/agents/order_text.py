"""Orders and amenities in prose: writing a customer's wishes and reading them (facts, section 10)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from trialbook_marketplace.models import Customer

_ITEMS_LINE = re.compile(r"^[ \t]*items wanted:(.*)$", re.IGNORECASE | re.MULTILINE)
_AMENITIES_LINE = re.compile(r"^[ \t]*amenities required:(.*)$", re.IGNORECASE | re.MULTILINE)
_TIMES = r"[x\u00d7]"
_COUNTED = re.compile(rf"\s*(\d{{1,6}})\s*{_TIMES}\s+")
_MAX_PARTS = 4  # a name may itself hold up to three semicolons
_DISCLOSED = re.compile(r"^\s*(.+?)\s*=\s*(yes|no)\s*$", re.IGNORECASE)
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBER_WORDS = {word: number for number, word in enumerate(_NUMBERS, start=1)}
_OPENING, _CLOSING = r"[\"'\u201c\u2018]", r"[\"'\u201d\u2019]"
_BEFORE = re.compile(rf"(?:\b(\d{{1,6}})|\b({'|'.join(_NUMBERS)}))\s*(?:{_TIMES}\s*)?{_OPENING}?$")
_BEHIND = re.compile(rf"^{_CLOSING}?\s*\(\s*(?:{_TIMES}\s*)?(\d{{1,6}})\s*(?:{_TIMES}\s*)?\)")


def request_text(customer: Customer) -> str:
    """What a rule-based customer writes to a business: its request and both lists."""
    lines = [customer.request]
    if customer.menu_features:
        lines.append("Items wanted: " + "; ".join(f"1 x {_collapsed(item)}" for item in customer.menu_features))
    if customer.amenity_features:
        lines.append("Amenities required: " + "; ".join(_collapsed(name) for name in customer.amenity_features))
    return "\n".join(lines)


def read_amenities(text: str, offered: dict[str, bool]) -> list[tuple[str, bool]] | None:
    """The amenities asked about and whether they are offered; None when the text names none."""
    own = {_key(name): value for name, value in offered.items()}
    lines = _AMENITIES_LINE.findall(text)
    if lines:
        asked = [name for part in lines[-1].split(";") if (name := _collapsed(part))]
        return [(name, own.get(_key(name), False)) for name in asked] or None
    prose = _collapsed(text)
    found = [(name, value) for name, value in offered.items() if _pattern(re.escape(_collapsed(name))).search(prose)]
    return found or None


def disclosure(amenities: list[tuple[str, bool]]) -> str:
    """``Amenities: <name>=yes; <name>=no``."""
    return "Amenities: " + "; ".join(f"{name}={'yes' if value else 'no'}" for name, value in amenities)


def disclosed(instructions: str | None) -> dict[str, bool]:
    """The amenities disclosed in the form of ``disclosure``, by lower-case name."""
    _, mark, rest = (instructions or "").partition("Amenities:")
    parts = (_DISCLOSED.match(part) for part in rest.split(";")) if mark else ()
    return {_key(match[1]): match[2].lower() == "yes" for match in parts if match}


def confirmed(required: list[str], instructions: str | None) -> bool:
    """True when every required amenity was disclosed as available."""
    known = disclosed(instructions)
    return all(known.get(_key(name), False) for name in required)


class MenuReader:
    """Finds a menu's items and their quantities in texts."""

    def __init__(self, menu: Iterable[str]) -> None:
        self._menu = list(menu)
        self._exact = {_collapsed(name): name for name in self._menu}

    def read(self, text: str) -> dict[str, int]:
        """Menu item to quantity, in menu order, from the line ``Items wanted:`` or else from the prose."""
        lines = _ITEMS_LINE.findall(text)
        found = self._listed(lines[-1]) if lines else self._mentioned(text)
        return {name: found[name] for name in self._menu if found.get(name)}

    @cached_property
    def _alike(self) -> dict[str, str]:
        return {form: name for name in reversed(self._menu) for form in _number_forms(_key(name))}

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        """A pattern per item; longer names come first, because matched parts are not used twice."""
        names = sorted(self._menu, key=lambda name: (-len(_collapsed(name)), name))
        return [(name, _pattern("|".join(map(re.escape, _number_forms(_key(name)))))) for name in names]

    def _listed(self, line: str) -> dict[str, int]:
        found: dict[str, int] = {}
        parts = line.split(";")
        at = 0
        while at < len(parts):
            for end in range(min(at + _MAX_PARTS, len(parts)), at, -1):
                name, count = self._entry(";".join(parts[at:end]))
                if name is not None:
                    found[name] = found.get(name, 0) + count
                    at = end
                    break
            else:
                at += 1
        return found

    def _entry(self, text: str) -> tuple[str | None, int]:
        """``2 x Taco`` as the item on the menu, if any, and its count."""
        counted = _COUNTED.match(text)
        wanted = text[counted.end() :] if counted else text
        name = self._exact.get(_collapsed(wanted)) or self._alike.get(_key(wanted))
        return name, int(counted[1]) if counted else 1

    def _mentioned(self, text: str) -> dict[str, int]:
        prose = _collapsed(text)
        found: dict[str, int] = {}
        for name, pattern in self._patterns:
            for match in list(pattern.finditer(prose)):
                found[name] = found.get(name, 0) + _quantity(prose, match)
                prose = prose[: match.start()] + "\0" * len(match[0]) + prose[match.end() :]
        return found


def _quantity(prose: str, match: re.Match[str]) -> int:
    before = _BEFORE.search(prose[: match.start()].lower())
    if before:
        return int(before[1]) if before[1] else _NUMBER_WORDS[before[2]]
    behind = _BEHIND.search(prose[match.end() :])
    return int(behind[1]) if behind else 1


def _number_forms(name: str) -> list[str]:
    """The name with its last word in singular and plural."""
    head, _, last = name.rpartition(" ")
    prefix = head + " " if head else ""
    return [prefix + form for form in dict.fromkeys((last, *_plurals(last), *_singulars(last)))]


def _plurals(word: str) -> Iterator[str]:
    yield word + "s"
    if word.endswith(("s", "x", "z", "ch", "sh", "o")):
        yield word + "es"
    if re.search(r"[^aeiou]y$", word):
        yield word[:-1] + "ies"
    if word.endswith("f"):
        yield word[:-1] + "ves"
    if word.endswith("fe"):
        yield word[:-2] + "ves"


def _singulars(word: str) -> Iterator[str]:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        yield word[:-1]
        if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
            yield word[:-2]
        if word.endswith("ies"):
            yield word[:-3] + "y"
        if word.endswith("ves"):
            yield word[:-3] + "f"
            yield word[:-3] + "fe"


def _pattern(inner: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{inner})(?!\w)", re.IGNORECASE)


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def _key(text: str) -> str:
    return _collapsed(text).lower()
