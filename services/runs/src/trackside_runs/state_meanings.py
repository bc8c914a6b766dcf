"""What states, conditions and reasons mean to people, and the whole graph as a message."""

from dataclasses import dataclass
from typing import Final

from trackside_protos.runs.v1.run_state_pb2 import (
    ConditionInfo,
    ConditionKind,
    RunState,
    RunStateInfo,
    Severity,
    StateGraph,
    StateReason,
    StateReasonInfo,
    TaskStateInfo,
)
from trackside_protos.runs.v1.task_pb2 import TaskState
from trackside_runs.states import (
    FINAL_RUN_STATES,
    FINAL_TASK_STATES,
    RETRY_TRANSITIONS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    RunStateValue,
    TaskStateValue,
    task_state_name,
)

_SUCCESS: Final = Severity.SEVERITY_SUCCESS
_INFO: Final = Severity.SEVERITY_INFO
_WARNING: Final = Severity.SEVERITY_WARNING
_ERROR: Final = Severity.SEVERITY_ERROR


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a state or condition says to people."""

    text: str
    severity: Severity.ValueType
    advice: str = ""
    is_charged: bool = False


RUN_STATE_MEANINGS: Final[dict[RunStateValue, Meaning]] = {
    RunState.RUN_STATE_PENDING: Meaning(
        "Accepted, and not begun; the reason tells queued from submitted and from waiting.",
        _INFO,
        "Wait, or see with `trackside describe` what it waits for; kill it if it is not wanted.",
    ),
    RunState.RUN_STATE_INITIALIZING: Meaning(
        "The engine prepares it: pulls images, mounts volumes, stages input.",
        _INFO,
        "Wait; if it lasts, read the log entries of the stream `engine`.",
        is_charged=True,
    ),
    RunState.RUN_STATE_RUNNING: Meaning(
        "The work is executing.",
        _INFO,
        "Watch its progress, logs and metrics; kill it if it is not wanted.",
        is_charged=True,
    ),
    RunState.RUN_STATE_STOPPING: Meaning(
        "The work is finalising: uploads outputs, ends its last tasks.",
        _INFO,
        "Wait for its end; kill it if it hangs.",
        is_charged=True,
    ),
    RunState.RUN_STATE_IDLE: Meaning(
        "The work ended and termination protection keeps the run until a user ends it.",
        _WARNING,
        "Look at its outcome, then end it with `trackside kill`.",
        is_charged=True,
    ),
    RunState.RUN_STATE_COMPLETED: Meaning(
        "The work ended well.", _SUCCESS, "Look at its result and outputs."
    ),
    RunState.RUN_STATE_FAILED: Meaning(
        "The work ended badly.", _ERROR, "Read its error report and its last log entries."
    ),
    RunState.RUN_STATE_TERMINATED: Meaning(
        "A user ended it.", _WARNING, "Look at what it left behind; start it again if needed."
    ),
}

CONDITION_MEANINGS: Final[dict[ConditionKind.ValueType, Meaning]] = {
    ConditionKind.CONDITION_KIND_DISCONNECTED: Meaning(
        "The reporter has missed three of its promised heartbeats; the work may well go on.",
        _WARNING,
        "Check the machine and the network; the next message clears it.",
        is_charged=True,
    ),
    ConditionKind.CONDITION_KIND_STALLED: Meaning(
        "All tasks have ended, but the run has not, and only heartbeats came for five minutes.",
        _WARNING,
        "See what the program does after its last task; kill it if it hangs.",
        is_charged=True,
    ),
    ConditionKind.CONDITION_KIND_KILLING: Meaning(
        "A kill was accepted, and that no process is left is not confirmed yet.",
        _WARNING,
        "Wait; if its agent cannot be reached, look after the processes on its machine.",
        is_charged=True,
    ),
    ConditionKind.CONDITION_KIND_CLOCK_SKEW: Meaning(
        "The clock of who reports is more than a minute off the server's; it says how much.",
        _WARNING,
        "Set the clock of its machine; order is not affected, but shown times are.",
    ),
}

TASK_STATE_MEANINGS: Final[dict[TaskStateValue, Meaning]] = {
    TaskState.TASK_STATE_PENDING: Meaning("Waits for other tasks or for compute.", _INFO),
    TaskState.TASK_STATE_SUBMITTED: Meaning("Handed to the engine.", _INFO),
    TaskState.TASK_STATE_RUNNING: Meaning("Executing.", _INFO),
    TaskState.TASK_STATE_SUCCEEDED: Meaning("Ended well by executing.", _SUCCESS),
    TaskState.TASK_STATE_FAILED: Meaning("Ended badly; a further attempt may follow.", _ERROR),
    TaskState.TASK_STATE_ABORTED: Meaning("Ended with its run.", _WARNING),
    TaskState.TASK_STATE_CACHED: Meaning("Satisfied by an earlier execution.", _SUCCESS),
}

_BEFORE_WORK: Final = (RunState.RUN_STATE_PENDING, RunState.RUN_STATE_INITIALIZING)
_FAILURE: Final = (RunState.RUN_STATE_FAILED, RunState.RUN_STATE_IDLE)

REASON_MEANINGS: Final[dict[StateReason.ValueType, tuple[tuple[RunStateValue, ...], str]]] = {
    StateReason.STATE_REASON_QUEUED: (
        (RunState.RUN_STATE_PENDING,),
        "Waits in the tracker for an agent that takes it.",
    ),
    StateReason.STATE_REASON_SUBMITTED: (
        (RunState.RUN_STATE_PENDING,),
        "Handed to the engine, which has not started it.",
    ),
    StateReason.STATE_REASON_WAITING_FOR_INPUT: (
        (*_BEFORE_WORK, RunState.RUN_STATE_RUNNING),
        "Waits for input that is not there yet.",
    ),
    StateReason.STATE_REASON_WAITING_FOR_RESOURCES: (
        (*_BEFORE_WORK, RunState.RUN_STATE_RUNNING),
        "Waits for the engine to have resources free.",
    ),
    StateReason.STATE_REASON_PULLING_IMAGES: (
        (RunState.RUN_STATE_INITIALIZING,),
        "Container images are being pulled.",
    ),
    StateReason.STATE_REASON_MOUNTING_VOLUMES: (
        (RunState.RUN_STATE_INITIALIZING,),
        "Volumes are being mounted.",
    ),
    StateReason.STATE_REASON_UPLOADING_OUTPUTS: (
        (RunState.RUN_STATE_STOPPING,),
        "Outputs are being uploaded.",
    ),
    StateReason.STATE_REASON_EXIT_CODE: (
        _FAILURE,
        "The command ended with an exit code other than 0.",
    ),
    StateReason.STATE_REASON_UNCAUGHT_EXCEPTION: (
        _FAILURE,
        "The program ended with an uncaught exception.",
    ),
    StateReason.STATE_REASON_CRASHED: (_FAILURE, "The process is gone without a trace."),
    StateReason.STATE_REASON_LOST: (
        _FAILURE,
        "Nothing was heard from the reporter for as long as was set for it.",
    ),
    StateReason.STATE_REASON_NEVER_STARTED: (
        _FAILURE,
        "Created, and nothing reported for an hour.",
    ),
    StateReason.STATE_REASON_OUT_OF_MEMORY: (
        _FAILURE,
        "The engine ended it for using too much memory.",
    ),
    StateReason.STATE_REASON_TIME_LIMIT: (
        _FAILURE,
        "The engine ended it for running too long.",
    ),
    StateReason.STATE_REASON_KILLED: (
        (RunState.RUN_STATE_TERMINATED,),
        "A user killed it.",
    ),
    StateReason.STATE_REASON_INTERRUPTED: (
        (RunState.RUN_STATE_TERMINATED,),
        "A user interrupted the program, for example by Ctrl-C.",
    ),
    StateReason.STATE_REASON_CHILDREN_FAILED: (_FAILURE, "Not all children completed."),
    StateReason.STATE_REASON_LAUNCH_REFUSED: (
        _FAILURE,
        "The engine refused the launch, for example because the command does not exist.",
    ),
    StateReason.STATE_REASON_SIGNAL: (
        _FAILURE,
        "The command was ended by a signal that the tracker did not send.",
    ),
    StateReason.STATE_REASON_STOPPED: (
        (RunState.RUN_STATE_STOPPING, RunState.RUN_STATE_TERMINATED),
        "A user stopped it.",
    ),
    StateReason.STATE_REASON_UNCONFIRMED: (
        (RunState.RUN_STATE_TERMINATED,),
        "An admin ended it without proof that nothing of it is left.",
    ),
}
"""For each reason the states it stands beside, and what it means."""


def state_graph() -> StateGraph:
    """Return the states, conditions, transitions and reasons, with their meaning."""
    return StateGraph(
        run_states=[_run_state_info(state) for state in RUN_TRANSITIONS],
        conditions=[_condition_info(kind) for kind in CONDITION_MEANINGS],
        task_states=[_task_state_info(state) for state in TASK_TRANSITIONS],
        reasons=[
            StateReasonInfo(reason=reason, states=states, meaning=text)
            for reason, (states, text) in REASON_MEANINGS.items()
        ],
    )


def _run_state_info(state: RunStateValue) -> RunStateInfo:
    meaning = RUN_STATE_MEANINGS[state]
    return RunStateInfo(
        state=state,
        meaning=meaning.text,
        severity=meaning.severity,
        charged=meaning.is_charged,
        final=state in FINAL_RUN_STATES,
        next_states=RUN_TRANSITIONS[state],
        advice=meaning.advice,
    )


def _condition_info(kind: ConditionKind.ValueType) -> ConditionInfo:
    meaning = CONDITION_MEANINGS[kind]
    return ConditionInfo(
        kind=kind,
        meaning=meaning.text,
        severity=meaning.severity,
        charged=meaning.is_charged,
        advice=meaning.advice,
    )


def _task_state_info(state: TaskStateValue) -> TaskStateInfo:
    meaning = TASK_STATE_MEANINGS[state]
    after = TASK_TRANSITIONS[state]
    if state in FINAL_TASK_STATES and state in RETRY_TRANSITIONS:
        after = (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_RUNNING)
    return TaskStateInfo(
        state=task_state_name(state),
        meaning=meaning.text,
        severity=meaning.severity,
        final=state in FINAL_TASK_STATES,
        next_states=[task_state_name(next_state) for next_state in after],
    )
