from datetime import timedelta

import pytest

from trialbook.domain.run import RunSpec
from trialbook.domain.run import commands as c
from trialbook.domain.run import events as e
from trialbook.domain.run.spec import Retry
from trialbook.testing import given
from trialbook.testing.specification import NOW
from trialbook.times import rfc3339

SPEC = RunSpec(workload="noop", pool="gpu", priority="high")
SUBMITTED = e.Submitted(spec=SPEC, ticket="t1", command_id="c1", digest="d1")
STARTED = e.Started(attempt=1, runner="r1")
ERROR = {"code": "exception", "detail": "boom"}


def submitted(**retry: float) -> e.Submitted:
    return e.Submitted(spec=RunSpec(workload="noop", retry=Retry(**retry)), ticket="t1")  # type: ignore[arg-type]


def test_creating_without_start_waits() -> None:
    given("run").when(c.Create(spec=SPEC, start=False)).then(e.Created(spec=SPEC))


def test_creating_with_start_is_one_fact() -> None:
    command = c.Create(spec=SPEC, ticket="t1", command_id="c1", digest="d1")
    given("run").when(command).then(SUBMITTED)


def test_the_same_creation_again_is_nothing_new() -> None:
    given("run", SUBMITTED).when(c.Create(spec=SPEC, ticket="t9", command_id="c1", digest="d1")).then_nothing()


def test_the_same_key_with_another_body_is_refused() -> None:
    command = c.Create(spec=SPEC, ticket="t9", command_id="c1", digest="other")
    given("run", SUBMITTED).when(command).then_refused("idempotency_key_reused")


def test_another_creation_of_an_existing_run_is_refused() -> None:
    given("run", SUBMITTED).when(c.Create(spec=SPEC)).then_refused("run_exists")


def test_a_created_run_is_started_once() -> None:
    run = given("run", e.Created(spec=SPEC)).when(c.Start(ticket="t2"))
    run.then(e.Queued(ticket="t2", pool="gpu", priority="high"))
    run.when(c.Start(ticket="t3")).then_refused("run_already_started")


def test_a_claim_starts_the_first_attempt() -> None:
    given("run", SUBMITTED).when(c.Claim(ticket="t1", runner="r1")).then(STARTED)


def test_a_claim_with_an_old_ticket_is_refused() -> None:
    given("run", SUBMITTED).when(c.Claim(ticket="t0", runner="r1")).then_refused("stale_ticket")


def test_a_redelivered_ticket_takes_the_run_over() -> None:
    given("run", SUBMITTED, STARTED).when(c.Claim(ticket="t1", runner="r2")).then(
        e.AttemptLost(attempt=1, runner="r1"), e.Started(attempt=2, runner="r2")
    )


def test_a_run_that_kills_its_runners_fails_in_the_end() -> None:
    history = [submitted(max_lost=1), STARTED, e.AttemptLost(attempt=1, runner="r1"), e.Started(attempt=2, runner="r2")]
    run = given("run", *history).when(c.Claim(ticket="t1", runner="r3"))
    assert [type(event) for event in run.events] == [e.AttemptLost, e.Failed]
    assert run.state.error is not None
    assert run.state.error["code"] == "attempts_lost"


def test_a_lost_run_that_was_to_be_cancelled_is_cancelled() -> None:
    run = given("run", SUBMITTED, STARTED, e.CancelRequested(reason="why"))
    run.when(c.Claim(ticket="t1", runner="r2"))
    run.then(e.AttemptLost(attempt=1, runner="r1"), e.Cancelled(attempt=1, reason="why"))


@pytest.mark.parametrize(
    "command",
    [
        c.Complete(attempt=1),
        c.Fail(attempt=1, error=ERROR),
        c.Checkpoint(attempt=1, data=1),
        c.StartStep(attempt=1, step="s"),
        c.CompleteStep(attempt=1, step="s"),
        c.FailStep(attempt=1, step="s", error=ERROR),
        c.RecordArtifact(attempt=1, name="a", sha256="0", size=1),
        c.RecordEffect(attempt=1, key="k", request_digest="d"),
        c.ConfirmPaused(attempt=1),
        c.ConfirmCancelled(attempt=1),
    ],
)
def test_whatever_a_zombie_says_is_refused(command: c.Command) -> None:
    history = [SUBMITTED, STARTED, e.AttemptLost(attempt=1, runner="r1"), e.Started(attempt=2, runner="r2")]
    given("run", *history).when(command).then_refused("stale_attempt")
    given("run", *history, e.Completed(attempt=2)).when(command).then_refused("stale_attempt")


def test_completion_keeps_the_result() -> None:
    run = given("run", SUBMITTED, STARTED).when(c.Complete(attempt=1, result={"x": 1}, signal_sequence=7))
    run.then(e.Completed(attempt=1, result={"x": 1}, signal_sequence=7))
    assert (run.state.status, run.state.result, run.state.signal_sequence) == ("completed", {"x": 1}, 7)


def test_a_failure_without_retries_is_final() -> None:
    run = given("run", SUBMITTED, STARTED).when(c.Fail(attempt=1, error=ERROR))
    run.then(e.Failed(attempt=1, error=ERROR))


def test_a_failure_with_retries_left_comes_again_later() -> None:
    run = given("run", submitted(max_attempts=3, backoff_s=10), STARTED).when(c.Fail(attempt=1, error=ERROR))
    due = rfc3339(NOW + timedelta(seconds=10))
    run.then(e.AttemptFailed(attempt=1, error=ERROR, retry_at=due))
    run.when(c.Claim(ticket="t1", runner="r1")).then_refused("not_yet")


def test_backoff_grows_and_is_bounded() -> None:
    retry = Retry(backoff_s=1, factor=10, max_backoff_s=50)
    assert [retry.delay_s(n) for n in (1, 2, 3, 99)] == [1, 10, 50, 50]


def test_a_failure_that_forbids_retries_is_final() -> None:
    run = given("run", submitted(max_attempts=3), STARTED)
    run.when(c.Fail(attempt=1, error=ERROR, retryable=False)).then(e.Failed(attempt=1, error=ERROR))


def test_a_queued_run_is_cancelled_at_once() -> None:
    given("run", SUBMITTED).when(c.RequestCancel(reason="why")).then(
        e.CancelRequested(reason="why"), e.Cancelled(reason="why")
    )


def test_a_running_run_is_cancelled_by_its_runner() -> None:
    run = given("run", SUBMITTED, STARTED).when(c.RequestCancel(reason="why")).then(e.CancelRequested(reason="why"))
    run.when(c.RequestCancel()).then_nothing()
    run.when(c.ConfirmCancelled(attempt=1, signal_sequence=3))
    run.then(e.Cancelled(attempt=1, reason="why", signal_sequence=3))
    run.when(c.RequestCancel()).then_nothing()


def test_a_finished_run_cannot_be_cancelled_or_paused() -> None:
    done = given("run", SUBMITTED, STARTED, e.Completed(attempt=1))
    done.when(c.RequestCancel()).then_refused("run_finished")
    done.when(c.RequestPause()).then_refused("run_finished")


def test_pause_and_resume_of_a_queued_run_replace_its_ticket() -> None:
    run = given("run", SUBMITTED).when(c.RequestPause()).then(e.PauseRequested(), e.Paused())
    run.when(c.Claim(ticket="t1", runner="r1")).then_refused("run_not_queued")
    run.when(c.RequestResume(ticket="t2"))
    run.then(e.ResumeRequested(), e.Queued(ticket="t2", reason="resume", pool="gpu", priority="high"))
    run.when(c.Claim(ticket="t1", runner="r1")).then_refused("stale_ticket")
    run.when(c.Claim(ticket="t2", runner="r1")).then(e.Started(attempt=1, runner="r1"))


def test_a_pause_of_a_running_run_can_be_withdrawn() -> None:
    run = given("run", SUBMITTED, STARTED).when(c.RequestPause()).then(e.PauseRequested())
    run.when(c.RequestResume(ticket="t2")).then(e.ResumeRequested())
    assert not run.state.pause_requested


def test_resuming_what_is_not_paused_is_refused() -> None:
    given("run", SUBMITTED).when(c.RequestResume(ticket="t2")).then_refused("run_not_paused")


def test_retry_keeps_completed_steps_and_clears_the_verdict() -> None:
    history = [SUBMITTED, STARTED, e.StepCompleted(attempt=1, step="a", result=5), e.Failed(attempt=1, error=ERROR)]
    run = given("run", *history).when(c.Retry(ticket="t2"))
    run.then(e.Queued(ticket="t2", reason="retry", pool="gpu", priority="high"))
    assert (run.state.status, run.state.error, run.state.steps["a"].result) == ("queued", None, 5)
    run.when(c.Claim(ticket="t2", runner="r1")).then(e.Started(attempt=2, runner="r1"))


def test_a_completed_run_is_not_retried() -> None:
    given("run", SUBMITTED, STARTED, e.Completed(attempt=1)).when(c.Retry(ticket="t")).then_refused("run_not_retryable")


def test_inline_claim_and_verdict_are_one_fact() -> None:
    command = c.FinishInline(ticket="t1", runner="r1", started_at="2026-01-01T00:00:00.000000Z", result=1)
    run = given("run", SUBMITTED).when(command)
    run.then(e.Completed(attempt=1, result=1, started_at="2026-01-01T00:00:00.000000Z", runner="r1"))
    run.when(command).then_refused("run_not_queued")


def test_deleting_needs_an_inactive_run() -> None:
    given("run", SUBMITTED).when(c.Delete()).then_refused("run_active")
    run = given("run", SUBMITTED, e.Cancelled()).when(c.Delete(command_id="x")).then(e.Deleted(command_id="x"))
    run.when(c.Delete(command_id="x")).then_nothing()
    run.when(c.RequestCancel()).then_refused("run_not_found")


@pytest.mark.parametrize(
    "command", [c.Start(ticket="t"), c.Retry(ticket="t"), c.RequestCancel(), c.RequestPause(), c.Delete()]
)
def test_commands_on_nothing_are_not_found(command: c.Command) -> None:
    given("run").when(command).then_refused("run_not_found")


def test_verdicts_bound_the_signals_of_all_attempts() -> None:
    history = [submitted(max_attempts=3), STARTED, e.AttemptLost(attempt=1, runner="r1", signal_sequence=9)]
    run = given("run", *history, e.Started(attempt=2, runner="r2")).when(c.Complete(attempt=2))
    run.then(e.Completed(attempt=2, signal_sequence=9))
    lost = given("run", submitted(max_lost=0), STARTED).when(c.Claim(ticket="t1", runner="r2", signal_sequence=5))
    assert [event.signal_sequence for event in lost.events] == [5, 5]
