"""The words for states and the like as people and programs read them: without prefixes."""

from typing import Final

from google.protobuf.descriptor import EnumDescriptor

from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import (
    ConditionKind,
    RunAction,
    RunState,
    StateReason,
)
from trackside_protos.runs.v1.task_pb2 import TaskState, TaskWait

FINAL_STATES: Final = frozenset(
    {
        RunState.RUN_STATE_COMPLETED,
        RunState.RUN_STATE_FAILED,
        RunState.RUN_STATE_TERMINATED,
    }
)
"""The states of a run that never change again."""

FINAL_TASK_STATES: Final = frozenset(
    {
        TaskState.TASK_STATE_SUCCEEDED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_ABORTED,
        TaskState.TASK_STATE_CACHED,
    }
)
"""The states of a task that never change again within an attempt."""


def _word(enumeration: EnumDescriptor, prefix: str, number: int) -> str:
    """Return the name of a value; its number when this client is too old to know it."""
    if not number:
        return ""
    value = enumeration.values_by_number.get(number)
    return str(number) if value is None else value.name.removeprefix(prefix)


def run_state_word(state: int) -> str:
    """Return for example `RUNNING`; empty when not set."""
    return _word(RunState.DESCRIPTOR, "RUN_STATE_", state)


def reason_word(reason: int) -> str:
    """Return for example `OUT_OF_MEMORY`; empty when not set."""
    return _word(StateReason.DESCRIPTOR, "STATE_REASON_", reason)


def condition_word(kind: int) -> str:
    """Return for example `DISCONNECTED`; empty when not set."""
    return _word(ConditionKind.DESCRIPTOR, "CONDITION_KIND_", kind)


def action_word(action: int) -> str:
    """Return for example `KILL`; empty when not set."""
    return _word(RunAction.DESCRIPTOR, "RUN_ACTION_", action)


def task_state_word(state: int) -> str:
    """Return for example `CACHED`; empty when not set."""
    return _word(TaskState.DESCRIPTOR, "TASK_STATE_", state)


def task_wait_word(wait: int) -> str:
    """Return for example `DEPENDENCIES`; empty when not set."""
    return _word(TaskWait.DESCRIPTOR, "TASK_WAIT_", wait)


def is_final(run: Run) -> bool:
    """Return whether the run's state never changes again."""
    return run.state in FINAL_STATES


def has_ended(run: Run) -> bool:
    """Return whether the run's work is over: it is final, or IDLE with its outcome."""
    return is_final(run) or run.state == RunState.RUN_STATE_IDLE
