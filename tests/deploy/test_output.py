"""Prefixed output under colour, pressure and a reader that goes away."""

from __future__ import annotations

import io
import threading
import time

import pytest

from trialbook_deploy import output
from trialbook_deploy.output import PrefixedOutput


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Stalled(io.StringIO):
    """Takes nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def write(self, text: str, /) -> int:
        self.released.wait(60)
        return super().write(text)


class Gone(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    out = PrefixedOutput(stream, ["a", "b"])
    out.line("a", "one")
    out.line("b", "two")
    out.close(timeout_seconds=30)
    assert stream.getvalue() == "\x1b[36ma |\x1b[0m one\n\x1b[33mb |\x1b[0m two\n"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    out = PrefixedOutput(stream, ["a"])
    out.line("a", "one")
    out.close(timeout_seconds=30)
    assert stream.getvalue() == "a | one\n"


def test_a_stalled_reader_costs_lines_but_never_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "QUEUE_LINES", 10)
    stream = Stalled()
    out = PrefixedOutput(stream, ["a"])
    for number in range(100):
        out.say(str(number))
    stream.released.set()
    while len(stream.getvalue().splitlines()) < 10:
        time.sleep(0.01)
    out.say("end")
    out.close(timeout_seconds=30)
    lines = stream.getvalue().splitlines()
    kept = [line for line in lines if line.isdigit()]
    assert kept == [str(number) for number in range(len(kept))]
    assert 10 <= len(kept) <= 11
    assert lines[-2:] == [f"... {100 - len(kept)} lines dropped, the output is too slow", "end"]


def test_a_reader_that_went_away_stops_nothing() -> None:
    out = PrefixedOutput(Gone(), ["a"])
    for _ in range(50_000):
        out.say("x")
    out.close()
