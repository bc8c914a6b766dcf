"""Entering states: everything that goes with a run's move, whoever asked for it.

A parent follows its children here, in the same transaction: it begins with the first, counts
them, and ends when it was closed and all have ended.
"""

from dataclasses import dataclass
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.runs.v1 import run_pb2, run_state_pb2, task_pb2
from trackside_runs import estimates, offers, parents, scopes
from trackside_runs.record import RunRecord
from trackside_runs.states import (
    ENDED_RUN_STATES,
    FINAL_RUN_STATES,
    RunStateValue,
    run_state_name,
)
from trackside_runs.storage.ledger import Ledger, origin
from trackside_runs.tallies import put_task, recount, uncount

_State: Final = run_state_pb2.RunState
_Reason: Final = run_state_pb2.StateReason
_Condition: Final = run_state_pb2.ConditionKind
_Result: Final = run_pb2.ControlResult
_EXECUTING: Final = frozenset(
    {_State.RUN_STATE_INITIALIZING, _State.RUN_STATE_RUNNING, _State.RUN_STATE_STOPPING}
)

_ABORTED_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True)
class Move:
    """A move to a state, decided to be legal."""

    state: RunStateValue
    reason: run_state_pb2.StateReason.ValueType = _Reason.STATE_REASON_UNSPECIFIED
    message: str = ""
    engine_state: str = ""
    time: Timestamp | None = None
    """When it happened, by the reporter's clock; None: now, by the server's."""
    producer_id: str = ""
    outcome: RunStateValue = _State.RUN_STATE_UNSPECIFIED
    """How the work ended, if the state is IDLE."""
    exit_code: int | None = None
    exit_signal: int | None = None
    is_forced: bool = False
    """Whether whoever has the work may still be at it, and is still to end it."""


def enter(ledger: Ledger, record: RunRecord, move: Move) -> None:
    """Move a run, and everything that goes with it, to a state."""
    run = record.message
    before = run.state
    happened = move.time or now(ledger)
    _note_move(run, move)
    _note_times(run, before, happened)
    if before == _State.RUN_STATE_PENDING and move.state != before:
        ledger.agents.dequeue(record)
    if move.state in ENDED_RUN_STATES and before not in ENDED_RUN_STATES:
        _end_work(ledger, record, move)
    if move.state in FINAL_RUN_STATES:
        record.facts.final_ms = ledger.now_ms
        record.clear_conditions(_Condition.CONDITION_KIND_KILLING)
        if move.producer_id or run.is_parent:
            _conclude_requests(ledger, record)
    offers.refresh(record)
    ledger.change_run(record, origin(move.producer_id, move.time))
    if run.parent_run_id and before != move.state:
        child_moved(ledger, record, before)
    if move.state in FINAL_RUN_STATES:
        seal_if_quiet(ledger, record)


def seal_if_quiet(ledger: Ledger, record: RunRecord) -> None:
    """Seal a run that is final, whose tasks have ended and whose producers have all closed."""
    is_open = record.is_final and not record.message.sealed and not record.has_open_tasks
    if is_open and not record.facts.open_producers:
        seal(ledger, record)


def seal(ledger: Ledger, record: RunRecord) -> None:
    """Seal a run: nothing more is expected of it. A change of its own."""
    if record.is_touched:
        ledger.change_run(record)
    record.message.sealed = True
    ledger.announce(record)
    ledger.change_run(record)


def add_child(parent: RunRecord, child: RunRecord) -> None:
    """Count a new child."""
    children = parent.message.children
    children.total_count += 1
    children.counts[run_state_name(child.message.state)] += 1
    offers.refresh(parent)
    parents.refresh_progress(parent)
    parent.touch()


def remove_child(parent: RunRecord, child: RunRecord) -> None:
    """Count a child no more that has ended and is deleted."""
    facts, children = parent.facts, parent.message.children
    uncount(children.counts, run_state_name(child.message.state))
    children.total_count -= 1
    children.ended_count -= 1
    ended_as = child.message.outcome or child.message.state
    facts.completed_children -= ended_as == _State.RUN_STATE_COMPLETED
    offers.refresh(parent)
    if not parent.is_ended:
        parents.refresh_progress(parent)
    parent.touch()


def child_moved(ledger: Ledger, child: RunRecord, before: RunStateValue) -> None:
    """Let the parent follow a child that has moved."""
    parent = ledger.get(child.message.parent_run_id)
    after = child.message.state
    facts, children = parent.facts, parent.message.children
    recount(children.counts, run_state_name(before), run_state_name(after))
    facts.running_children += (after in _EXECUTING) - (before in _EXECUTING)
    children.peak_concurrency = max(children.peak_concurrency, facts.running_children)
    if after in ENDED_RUN_STATES and before not in ENDED_RUN_STATES:
        children.ended_count += 1
        ended_as = child.message.outcome or after
        facts.completed_children += ended_as == _State.RUN_STATE_COMPLETED
        facts.unproven_children += _is_unproven(child.message)
        facts.open_percent = max(0.0, facts.open_percent - child.message.progress.percent)
        _remember_duration(parent, child.message)
        ledger.advanced_parents.add(parent.run_id)
    parents.refresh_progress(parent)
    parent.touch()
    if after in _EXECUTING and parent.message.state == _State.RUN_STATE_PENDING:
        enter(ledger, parent, Move(_State.RUN_STATE_RUNNING, time=child.message.start_time))
    end_parent_if_done(ledger, parent)


def end_parent_if_done(ledger: Ledger, parent: RunRecord) -> None:
    """End a parent that is closed and whose children have all ended."""
    run = parent.message
    if parent.is_ended or not run.closed or run.children.ended_count < run.children.total_count:
        return
    if parent.is_end_requested:
        move = Move(_State.RUN_STATE_TERMINATED, parent.end_reason, parent.end_message)
    elif parent.facts.completed_children == run.children.total_count:
        move = Move(_State.RUN_STATE_COMPLETED)
    else:
        missing = run.children.total_count - parent.facts.completed_children
        move = Move(
            _State.RUN_STATE_FAILED,
            _Reason.STATE_REASON_CHILDREN_FAILED,
            f"{missing} of {run.children.total_count} children did not complete.",
        )
    enter(ledger, parent, _kept_idle(run, move))


def now(ledger: Ledger) -> Timestamp:
    """Return the server's time of this transaction."""
    stamp = Timestamp()
    stamp.FromMilliseconds(ledger.now_ms)
    return stamp


def _kept_idle(run: run_pb2.Run, move: Move) -> Move:
    if not run.termination_protection or move.state == _State.RUN_STATE_TERMINATED:
        return move
    return Move(_State.RUN_STATE_IDLE, move.reason, move.message, outcome=move.state)


def _note_move(run: run_pb2.Run, move: Move) -> None:
    run.state = move.state
    run.state_reason = move.reason
    run.state_message = move.message
    run.engine_state = move.engine_state
    run.outcome = move.outcome or run.outcome
    if move.exit_code is not None:
        run.exit_code = move.exit_code
    if move.exit_signal is not None:
        run.exit_signal = move.exit_signal


def _note_times(run: run_pb2.Run, before: RunStateValue, happened: Timestamp) -> None:
    if run.state in _EXECUTING and before not in _EXECUTING and not run.HasField("start_time"):
        run.start_time.CopyFrom(happened)
    if run.state in ENDED_RUN_STATES and not run.HasField("end_time"):
        run.end_time.CopyFrom(happened)


def _end_work(ledger: Ledger, record: RunRecord, move: Move) -> None:
    record.clear_conditions(
        _Condition.CONDITION_KIND_DISCONNECTED, _Condition.CONDITION_KIND_STALLED
    )
    ended_as = record.message.outcome or record.message.state
    scopes.note_end(ledger, record, is_completed=ended_as == _State.RUN_STATE_COMPLETED)
    abort_open_tasks(ledger, record)
    ledger.agents.release(record, is_let_off=not move.is_forced)
    _forget_secrets(ledger, record)


def abort_open_tasks(ledger: Ledger, record: RunRecord) -> None:
    """Abort tasks of a run that has ended: some thousand, the watchman has the rest aborted."""
    for task in ledger.tasks(record).open_tasks(_ABORTED_AT_ONCE):
        _abort(ledger, record, task, record.message.end_time)


def _abort(
    ledger: Ledger, record: RunRecord, open_task: task_pb2.Task, happened: Timestamp
) -> None:
    task = task_pb2.Task()
    task.CopyFrom(open_task)
    task.state = task_pb2.TASK_STATE_ABORTED
    task.end_time.CopyFrom(happened)
    if task.attempts:
        task.attempts[-1].state = task.state
        task.attempts[-1].end_time.CopyFrom(happened)
    put_task(ledger, record, task, open_task, b"")


def _conclude_requests(ledger: Ledger, record: RunRecord) -> None:
    # The authority's word that the run has ended answers every request to end it, also one
    # that came when the word was on its way; a parent's is answered by its children's end, which
    # proves no more than was proven of each of them.
    for request in record.message.control_requests:
        if record.facts.unproven_children:
            request.result = request.result or _Result.CONTROL_RESULT_UNCONFIRMED
            continue
        if not request.HasField("confirm_time"):
            request.confirm_time.CopyFrom(now(ledger))
        if not request.result:
            is_carried_out = request.HasField("acknowledge_time") or record.message.is_parent
            request.result = _Result.CONTROL_RESULT_NOTHING_FOUND
            if is_carried_out:
                request.result = _Result.CONTROL_RESULT_ENDED


def _is_unproven(run: run_pb2.Run) -> bool:
    """Whether a run has ended that was to be ended, and nobody said that nothing of it is left."""
    return any(not request.HasField("confirm_time") for request in run.control_requests)


def _forget_secrets(ledger: Ledger, record: RunRecord) -> None:
    if record.facts.has_secrets:
        record.facts.has_secrets = False
        ledger.parts(record).put_detail("secret_launch", run_pb2.Launch())


def _remember_duration(parent: RunRecord, child: run_pb2.Run) -> None:
    if child.HasField("start_time"):
        duration = child.end_time.ToMilliseconds() - child.start_time.ToMilliseconds()
        durations = parent.facts.child_durations_ms
        durations.append(max(0, duration))
        del durations[: -estimates.REMEMBERED]
