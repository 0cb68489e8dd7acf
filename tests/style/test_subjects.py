"""A NATS subject is spelled in `trialbook/subjects.py` and nowhere else.

A subject is the address of a contract. Spelled twice, the second spelling goes wrong silently: nobody is subscribed
to it, and nothing fails. Tests may spell them: there they are the expectation.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.style.source import PRODUCT, Source, docstrings, sample, sources

SUBJECT = re.compile(r"(fact|signal|tap|ask|cmd|presence|blob)\.($|[^\s.]*$|[^\s]*[.>*][^\s]*$)")
EXEMPT = {Path("contracts/trialbook/subjects.py")}


def violations(source: Source) -> list[str]:
    documentation = docstrings(source.tree)
    return [
        source.at(node, f"subject {node.value!r}: use trialbook.subjects")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
        and SUBJECT.match(node.value)
        and not source.says(node, "no subject:")
    ]


def test_subjects_are_spelled_in_one_place() -> None:
    found = [v for source in sources(*PRODUCT) if source.path not in EXEMPT for v in violations(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ['s = "fact.w.run.1"', 's = f"signal.{w}.run"', 's = "tap." + x', 's = "ask.>"', 's = f"cmd.{w}.{n}"']
)
def test_a_spelled_subject_is_seen(text: str) -> None:
    assert violations(sample(text))


@pytest.mark.parametrize(
    "text",
    [
        '"""fact.>"""',
        's = "facts"',
        's = "a fact. And more"',
        's = "run.started.v1"',
        's = "signal.py"  # no subject: a file',
    ],
)
def test_other_strings_are_not(text: str) -> None:
    assert not violations(sample(text))
