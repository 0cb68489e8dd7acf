"""What must not be in the tree: addresses of package registries, paths of one machine, unfinished work.

The first two break on every other machine and tell strangers where this one keeps things; the locks pin by hash, so
they need no address. Unfinished work is finished or left out.
"""

from __future__ import annotations

import re

import pytest

from tests.style.source import tracked_texts

# Put together so that this file does not contain what it looks for.
HOSTS = re.compile(
    "|".join(
        re.escape(a + "." + b)
        for a, b in [
            ("files", "pythonhosted"),
            ("pypi", "org/simple"),
            ("test.pypi", "org"),
            ("registry", "npmjs"),
            ("registry", "yarnpkg"),
            ("deb", "debian.org"),
            ("proxy", "golang.org"),
        ]
    )
)
PATHS = re.compile(r"(?<![\w.-])/(?:work|farm|root)" + r"/[a-z.]")
UNFINISHED = re.compile(
    r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|NotImplemented" + r"Error|pytest\.skip" + r"\("
)


def violations(name: str, text: str) -> list[str]:
    rules = [(HOSTS, "registry address"), (PATHS, "machine path")]
    if name.endswith((".py", ".js", ".ts")):
        rules.append((UNFINISHED, "unfinished"))
    return [
        f"{name}:{number}: {what}: {line.strip()[:100]}"
        for number, line in enumerate(text.splitlines(), 1)
        for rule, what in rules
        if rule.search(line)
    ]


def test_the_tree_is_clean() -> None:
    found = [violation for name, text in tracked_texts() for violation in violations(name, text)]
    assert not found, "\n".join(found)


def test_the_locks_name_no_address_and_hash_everything() -> None:
    locks = {name: text for name, text in tracked_texts() if name.startswith("requirements/")}
    assert set(locks) == {"requirements/dev.txt", "requirements/runtime.txt"}
    for name, text in locks.items():
        assert "://" not in text, name
        assert not re.search(r"^\s*(#|--?(?!hash)\w)", text, re.MULTILINE), name
        for entry in text.replace("\\\n", "").splitlines():
            assert re.fullmatch(r"[\w.-]+==\S+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry), entry[:80]


@pytest.mark.parametrize(
    "line",
    [
        "see https://files.python" + "hosted.org/x",
        'open("/wor' + 'k/main/x")',
        "# TO" + "DO later",
        "raise NotImplemented" + "Error",
    ],
)
def test_each_is_seen(line: str) -> None:
    assert violations("a.py", line)


@pytest.mark.parametrize("line", ["https://host/v1/homework/x", "a network/path", "todo list"])
def test_others_are_not(line: str) -> None:
    assert not violations("a.py", line)
