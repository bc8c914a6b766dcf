import pytest

from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.task_pb2 import TaskState
from trackside_runs.states import (
    ENDED_RUN_STATES,
    FINAL_RUN_STATES,
    FINAL_TASK_STATES,
    OPEN_TASK_STATES,
    RUN_TRANSITIONS,
    Illegal,
    Landing,
    Late,
    RunStateValue,
    TaskStateValue,
    Transition,
    decide,
    decide_report,
    decide_task,
    landing,
)

UNSPECIFIED = RunState.RUN_STATE_UNSPECIFIED
PENDING = RunState.RUN_STATE_PENDING
RUNNING = RunState.RUN_STATE_RUNNING
STOPPING = RunState.RUN_STATE_STOPPING
IDLE = RunState.RUN_STATE_IDLE
COMPLETED = RunState.RUN_STATE_COMPLETED
FAILED = RunState.RUN_STATE_FAILED
TERMINATED = RunState.RUN_STATE_TERMINATED

TASK_PENDING = TaskState.TASK_STATE_PENDING
TASK_RUNNING = TaskState.TASK_STATE_RUNNING
TASK_SUCCEEDED = TaskState.TASK_STATE_SUCCEEDED
TASK_FAILED = TaskState.TASK_STATE_FAILED
TASK_ABORTED = TaskState.TASK_STATE_ABORTED
TASK_CACHED = TaskState.TASK_STATE_CACHED


@pytest.mark.parametrize("current", RUN_TRANSITIONS)
@pytest.mark.parametrize("reported", RUN_TRANSITIONS)
def test_a_run_never_moves_backward(current: RunStateValue, reported: RunStateValue) -> None:
    decision = decide(current, reported)

    if isinstance(decision, Transition):
        order = [int(state) for state in RUN_TRANSITIONS]
        assert order.index(decision.after) >= order.index(decision.before)


@pytest.mark.parametrize("current", FINAL_RUN_STATES)
@pytest.mark.parametrize("reported", RUN_TRANSITIONS)
def test_everything_after_a_final_state_is_late(
    current: RunStateValue, reported: RunStateValue
) -> None:
    assert decide(current, reported) == Late(current, reported)


def test_phases_may_be_skipped_forward() -> None:
    assert decide(PENDING, COMPLETED) == Transition(PENDING, COMPLETED)


def test_an_earlier_phase_is_late() -> None:
    assert decide(STOPPING, RUNNING) == Late(STOPPING, RUNNING)


def test_the_same_phase_again_brings_a_new_reason_and_no_move() -> None:
    decision = decide(PENDING, PENDING)

    assert isinstance(decision, Transition)
    assert (decision.before, decision.after) == (PENDING, PENDING)


@pytest.mark.parametrize("reported", [PENDING, RUNNING, COMPLETED, FAILED, IDLE])
def test_an_idle_run_hears_only_of_its_termination(reported: RunStateValue) -> None:
    assert decide(IDLE, reported) == Late(IDLE, reported)
    assert decide(IDLE, TERMINATED) == Transition(IDLE, TERMINATED)


def test_an_unknown_state_is_illegal() -> None:
    assert decide(RUNNING, UNSPECIFIED) == Illegal(RUNNING, UNSPECIFIED)
    assert decide(RUNNING, RunStateValue(999)) == Illegal(RUNNING, 999)


def test_a_reporter_cannot_make_an_open_run_idle() -> None:
    assert decide_report(RUNNING, IDLE) == Illegal(RUNNING, IDLE)
    assert decide_report(COMPLETED, IDLE) == Late(COMPLETED, IDLE)
    assert decide_report(RUNNING, STOPPING) == Transition(RUNNING, STOPPING)


def test_no_reporter_ends_an_idle_run() -> None:
    assert decide_report(IDLE, TERMINATED) == Late(IDLE, TERMINATED)


def test_the_work_of_a_protected_run_ends_idle_with_its_outcome() -> None:
    assert landing(FAILED, is_protected=True, is_end_requested=False) == Landing(IDLE, FAILED)


def test_an_accepted_kill_makes_every_end_a_termination() -> None:
    for is_protected in (False, True):
        place = landing(COMPLETED, is_protected=is_protected, is_end_requested=True)
        assert place == Landing(TERMINATED, UNSPECIFIED)


def test_a_plain_run_lands_where_it_was_reported() -> None:
    assert landing(FAILED, is_protected=False, is_end_requested=False).state == FAILED
    assert landing(RUNNING, is_protected=True, is_end_requested=False).state == RUNNING


def test_idle_counts_as_ended_but_not_as_final() -> None:
    assert IDLE in ENDED_RUN_STATES
    assert IDLE not in FINAL_RUN_STATES


def test_a_failed_task_may_be_tried_again_with_a_higher_attempt() -> None:
    retry = decide_task(TASK_FAILED, TASK_RUNNING, current_attempt=1, reported_attempt=2)

    assert retry == Transition(TASK_FAILED, TASK_RUNNING)


def test_a_report_on_an_earlier_attempt_is_late() -> None:
    late = decide_task(TASK_RUNNING, TASK_FAILED, current_attempt=2, reported_attempt=1)

    assert late == Late(TASK_RUNNING, TASK_FAILED)


@pytest.mark.parametrize("state", [TASK_SUCCEEDED, TASK_CACHED])
def test_what_was_satisfied_is_not_tried_again(state: TaskStateValue) -> None:
    retry = decide_task(state, TASK_RUNNING, current_attempt=1, reported_attempt=2)

    assert retry == Illegal(state, TASK_RUNNING)


def test_a_task_cannot_end_twice_differently_within_an_attempt() -> None:
    assert decide_task(TASK_SUCCEEDED, TASK_FAILED) == Illegal(TASK_SUCCEEDED, TASK_FAILED)


@pytest.mark.parametrize("reported", [TASK_RUNNING, TASK_SUCCEEDED, TASK_FAILED])
def test_what_comes_for_an_aborted_task_is_late(reported: TaskStateValue) -> None:
    assert decide_task(TASK_ABORTED, reported, reported_attempt=2) == Late(TASK_ABORTED, reported)


def test_a_running_report_after_success_is_late() -> None:
    assert decide_task(TASK_SUCCEEDED, TASK_RUNNING) == Late(TASK_SUCCEEDED, TASK_RUNNING)


@pytest.mark.parametrize("state", OPEN_TASK_STATES)
def test_every_open_task_can_be_aborted(state: TaskStateValue) -> None:
    assert decide_task(state, TASK_ABORTED) == Transition(state, TASK_ABORTED)


def test_every_state_is_either_open_or_final() -> None:
    assert set(TaskState.values()) - {0} == OPEN_TASK_STATES | FINAL_TASK_STATES
    assert set(RUN_TRANSITIONS) == set(RunState.values()) - {0}
    assert decide_task(TASK_PENDING, TaskStateValue(0)) == Illegal(TASK_PENDING, 0)
