"""What a consumer of an outside user may be."""

from __future__ import annotations

import pytest

from trialbook.errors import Invalid
from trialbook.outside import Pace, Start, consumer, durable, filter_of


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("", "fact.lab.>"),
        ("fact.lab.>", "fact.lab.>"),
        ("fact.lab.run.*.completed", "fact.lab.run.*.completed"),
        ("fact.lab.run.>", "fact.lab.run.>"),
    ],
)
def test_a_part_of_the_workspace_may_be_asked_for(asked: str, given: str) -> None:
    assert filter_of("lab", "facts", asked) == given


@pytest.mark.parametrize(
    "asked",
    [
        ">", "fact.>", "fact.*.>", "fact.other.>", "fact.labs.>", "fact.lab", "fact.lab.", "fact.lab..x",
        "signal.lab.>", "fact.lab.>.x", "fact.lab.a*", "fact.lab.a b", "fact.lab.\n", "fact.lab.é", "fact.lab.x.",
        "fact.lab." + "x" * 300,
    ],
)  # fmt: skip
def test_nothing_beyond_it_may(asked: str) -> None:
    with pytest.raises(Invalid, match="A filter of facts"):
        filter_of("lab", "facts", asked)


def test_a_consumer_is_pulled_from_and_belongs_to_one_user() -> None:
    made = consumer("alice", "main", "fact.lab.>", Start(after=7), Pace(max_ack_pending=1))
    assert "deliver_subject" not in made
    assert (made["ack_policy"], made["opt_start_seq"], made["max_ack_pending"]) == ("explicit", 8, 1)
    assert durable("a", "b") != durable("a-b", "") != durable("a_b", "")
