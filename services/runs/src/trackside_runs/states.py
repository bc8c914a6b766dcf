"""The states of runs and tasks and what may follow what, as data; every writer goes through it.

What the states mean to people is in `state_meanings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.task_pb2 import TaskState

RunStateValue = RunState.ValueType
TaskStateValue = TaskState.ValueType

_PENDING: Final = RunState.RUN_STATE_PENDING
_INITIALIZING: Final = RunState.RUN_STATE_INITIALIZING
_RUNNING: Final = RunState.RUN_STATE_RUNNING
_STOPPING: Final = RunState.RUN_STATE_STOPPING
_IDLE: Final = RunState.RUN_STATE_IDLE
_COMPLETED: Final = RunState.RUN_STATE_COMPLETED
_FAILED: Final = RunState.RUN_STATE_FAILED
_TERMINATED: Final = RunState.RUN_STATE_TERMINATED

RUN_TRANSITIONS: Final[Mapping[RunStateValue, tuple[RunStateValue, ...]]] = {
    _PENDING: (_INITIALIZING, _RUNNING, _STOPPING, _IDLE, _COMPLETED, _FAILED, _TERMINATED),
    _INITIALIZING: (_RUNNING, _STOPPING, _IDLE, _COMPLETED, _FAILED, _TERMINATED),
    _RUNNING: (_STOPPING, _IDLE, _COMPLETED, _FAILED, _TERMINATED),
    _STOPPING: (_IDLE, _COMPLETED, _FAILED, _TERMINATED),
    _IDLE: (_TERMINATED,),
    _COMPLETED: (),
    _FAILED: (),
    _TERMINATED: (),
}
"""What may follow each state of a run, in the order of a run's life; phases may be skipped."""

FINAL_RUN_STATES: Final = frozenset(state for state, after in RUN_TRANSITIONS.items() if not after)
"""The states that never change again."""

ENDED_RUN_STATES: Final = FINAL_RUN_STATES | {_IDLE}
"""The states in which the work is over: the final ones, and IDLE."""

REPORTABLE_RUN_STATES: Final = frozenset(RUN_TRANSITIONS) - {_IDLE}
"""The states that a reporter may name: only the server keeps a run IDLE."""

_NOT_SUBMITTED: Final = TaskState.TASK_STATE_PENDING
_SUBMITTED: Final = TaskState.TASK_STATE_SUBMITTED
_EXECUTING: Final = TaskState.TASK_STATE_RUNNING
_SUCCEEDED: Final = TaskState.TASK_STATE_SUCCEEDED
_ATTEMPT_FAILED: Final = TaskState.TASK_STATE_FAILED
_ABORTED: Final = TaskState.TASK_STATE_ABORTED
_CACHED: Final = TaskState.TASK_STATE_CACHED

TASK_TRANSITIONS: Final[Mapping[TaskStateValue, tuple[TaskStateValue, ...]]] = {
    _NOT_SUBMITTED: (_SUBMITTED, _EXECUTING, _SUCCEEDED, _ATTEMPT_FAILED, _ABORTED, _CACHED),
    _SUBMITTED: (_EXECUTING, _SUCCEEDED, _ATTEMPT_FAILED, _ABORTED, _CACHED),
    _EXECUTING: (_SUCCEEDED, _ATTEMPT_FAILED, _ABORTED, _CACHED),
    _SUCCEEDED: (),
    _ATTEMPT_FAILED: (),
    _ABORTED: (),
    _CACHED: (),
}
"""What may follow each state of a task within one attempt."""

RETRY_TRANSITIONS: Final[Mapping[TaskStateValue, tuple[TaskStateValue, ...]]] = {
    _NOT_SUBMITTED: tuple(TASK_TRANSITIONS),
    _SUBMITTED: tuple(TASK_TRANSITIONS),
    _EXECUTING: tuple(TASK_TRANSITIONS),
    _ATTEMPT_FAILED: tuple(TASK_TRANSITIONS),
}
"""What a later attempt may begin with, after each state of the attempt before.

An open attempt may be followed too: its end was not reported. What succeeded, was cached or
ended with its run is not tried again.
"""

FINAL_TASK_STATES: Final = frozenset(
    state for state, after in TASK_TRANSITIONS.items() if not after
)
"""The states that never change again within an attempt."""

OPEN_TASK_STATES: Final = frozenset(TASK_TRANSITIONS) - FINAL_TASK_STATES
"""The states of a task that has not ended; the end of its run makes them ABORTED."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A legal report: the state becomes `after`, which may equal `before` (a new reason)."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Late:
    """A report that came after a later one: it is recorded and changes nothing."""

    current: int
    reported: int


@dataclass(frozen=True, slots=True)
class Illegal:
    """A report that the tables do not know: it is refused with both states."""

    current: int
    reported: int


Decision = Transition | Late | Illegal


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a run lands when its authority reports the end of the work."""

    state: RunStateValue
    outcome: RunStateValue
    """How the work ended, if the run stays IDLE; else unspecified."""


def decide(current: RunStateValue, reported: RunStateValue) -> Decision:
    """Return what a change of a run's state is worth, whoever asks for it.

    Where the work is over, everything but a user's end is late. The reporter of a run may
    name `REPORTABLE_RUN_STATES` only; see `decide_report`.
    """
    if reported not in RUN_TRANSITIONS or current not in RUN_TRANSITIONS:
        return Illegal(current, reported)
    if reported in RUN_TRANSITIONS[current]:
        return Transition(current, reported)
    if current in ENDED_RUN_STATES:
        return Late(current, reported)
    # What does not come after is the same phase, with a new reason, or an earlier one.
    return Transition(current, current) if reported == current else Late(current, reported)


def decide_report(current: RunStateValue, reported: RunStateValue) -> Decision:
    """Return what a reporter's word on the state of its run is worth.

    IDLE is the server's to give: an open run that is reported IDLE is an illegal report. And
    what is IDLE only a user ends: every report on it is late.
    """
    if reported not in REPORTABLE_RUN_STATES and current not in ENDED_RUN_STATES:
        return Illegal(current, reported)
    if current == _IDLE and reported in RUN_TRANSITIONS:
        return Late(current, reported)
    return decide(current, reported)


def landing(reported: RunStateValue, *, is_protected: bool, is_end_requested: bool) -> Landing:
    """Return where a run goes when the state `reported` was decided to be legal.

    Args:
        reported: The state that the authority named, or the server found.
        is_protected: Whether termination protection is on.
        is_end_requested: Whether a stop or kill was accepted before.
    """
    unspecified = RunState.RUN_STATE_UNSPECIFIED
    if reported not in (_COMPLETED, _FAILED):
        return Landing(reported, unspecified)
    if is_end_requested:
        return Landing(_TERMINATED, unspecified)
    if is_protected:
        return Landing(_IDLE, reported)
    return Landing(reported, unspecified)


def decide_task(
    current: TaskStateValue,
    reported: TaskStateValue,
    *,
    current_attempt: int = 1,
    reported_attempt: int = 1,
) -> Decision:
    """Return what a report on a task is worth.

    Attempts count from 1. A report on an earlier attempt is late, and so is everything
    after ABORTED, for the server aborts tasks without asking their reporter.
    """
    if reported not in TASK_TRANSITIONS or current not in TASK_TRANSITIONS:
        return Illegal(current, reported)
    if current == _ABORTED or reported_attempt < current_attempt:
        return Late(current, reported)
    if reported_attempt > current_attempt:
        is_retry = reported in RETRY_TRANSITIONS.get(current, ())
        return Transition(current, reported) if is_retry else Illegal(current, reported)
    if reported == current or reported in TASK_TRANSITIONS[current]:
        return Transition(current, reported)
    is_other_end = current in FINAL_TASK_STATES and reported in FINAL_TASK_STATES
    return Illegal(current, reported) if is_other_end else Late(current, reported)


def run_state_name(state: int) -> str:
    """Return a run state's name without its prefix, for example `RUNNING`."""
    return RunState.Name(RunStateValue(state)).removeprefix("RUN_STATE_")


def task_state_name(state: int) -> str:
    """Return a task state's name without its prefix, for example `CACHED`."""
    return TaskState.Name(TaskStateValue(state)).removeprefix("TASK_STATE_")
