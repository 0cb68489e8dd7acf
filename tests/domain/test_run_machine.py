"""Whatever is asked in whatever order: the laws of a run's life hold."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trialbook.aggregates import RUN
from trialbook.codec import encode
from trialbook.domain.run import RunSpec, RunState
from trialbook.domain.run import commands as c
from trialbook.domain.run import events as e
from trialbook.domain.run.spec import Retry
from trialbook.errors import Refusal
from trialbook.testing.specification import NOW
from trialbook.times import rfc3339

VERDICTS = (e.Completed, e.Failed, e.Cancelled)


class RunLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state: RunState = RUN.decider.initial()
        self.history: list[tuple[Any, str]] = []
        self.now = NOW
        self.tickets = ["none"]
        self.give(c.Create(spec=RunSpec(workload="w", retry=Retry(max_attempts=2, max_lost=2)), ticket=self.ticket()))

    def ticket(self) -> str:
        self.tickets.append(f"t{len(self.tickets)}")
        return self.tickets[-1]

    def give(self, command: Any) -> None:
        before = self.state
        try:
            facts = RUN.decider.decide(command, self.state, self.now)
        except Refusal:
            return
        for fact in facts:
            at = rfc3339(self.now)
            self.history.append((fact, at))
            self.state = RUN.decider.evolve(self.state, fact, at)
        if before.terminal and facts:
            assert isinstance(command, c.Retry | c.Delete), f"{command} moved a finished run"

    @rule(
        make=st.sampled_from([c.Start, c.Retry, c.RequestResume]),
        known=st.sampled_from([c.RequestCancel(), c.RequestPause(), c.Delete()]),
        flip=st.booleans(),
    )
    def ask(self, make: Any, known: Any, flip: bool) -> None:
        self.give(make(ticket=self.ticket()) if flip else known)

    @rule(index=st.integers(0, 30), runner=st.sampled_from(["a", "b"]), inline=st.booleans())
    def take(self, index: int, runner: str, inline: bool) -> None:
        ticket = self.tickets[-1 - index % len(self.tickets)]
        if inline:
            self.give(c.FinishInline(ticket=ticket, runner=runner, started_at=rfc3339(self.now)))
        else:
            self.give(c.Claim(ticket=ticket, runner=runner))

    @precondition(lambda self: self.state.attempt > 0)
    @rule(back=st.integers(0, 2), what=st.integers(0, 5))
    def say(self, back: int, what: int) -> None:
        attempt = self.state.attempt - back
        stale = back > 0 or self.state.status != "running"
        count = len(self.history)
        commands: list[c.Command] = [
            c.Complete(attempt=attempt),
            c.Fail(attempt=attempt, error={"code": "x"}),
            c.ConfirmCancelled(attempt=attempt),
            c.ConfirmPaused(attempt=attempt),
            c.Checkpoint(attempt=attempt, data=what),
            c.CompleteStep(attempt=attempt, step="s", result=what),
        ]
        self.give(commands[what])
        assert not (stale and len(self.history) > count), "a stale attempt was heard"

    @rule()
    def wait(self) -> None:
        self.now += timedelta(seconds=90)

    @invariant()
    def the_state_is_the_fold_of_the_history(self) -> None:
        assert encode(RUN.decider.fold(self.history)) == encode(self.state)

    @invariant()
    def one_verdict_per_start_or_retry(self) -> None:
        entries = 1 + sum(isinstance(f, e.Queued) and f.reason == "retry" for f, _ in self.history)
        assert sum(isinstance(f, VERDICTS) for f, _ in self.history) <= entries

    @invariant()
    def attempts_are_numbered_without_gaps(self) -> None:
        attempts = [f.attempt for f, _ in self.history if isinstance(f, e.Started)]
        assert attempts == sorted(set(attempts))

    @invariant()
    def a_running_run_has_a_runner_and_nobody_else_has(self) -> None:
        if self.state.status == "running":
            assert self.state.runner
        if self.state.status in ("queued", "paused", "created"):
            assert not self.state.runner


TestRunLife = RunLife.TestCase
