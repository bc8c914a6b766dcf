"""What a report on a task makes of the task."""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.runs.v1 import task_pb2
from trackside_runs.errors import IllegalTransitionError
from trackside_runs.record import RunRecord
from trackside_runs.states import (
    FINAL_TASK_STATES,
    Illegal,
    Late,
    decide_task,
    task_state_name,
)
from trackside_runs.storage.ledger import Ledger
from trackside_runs.tallies import put_task

_State: Final = task_pb2.TaskState
_STARTED: Final = FINAL_TASK_STATES | {_State.TASK_STATE_RUNNING}
_WAITING: Final = _State.TASK_STATE_PENDING
_Timed = task_pb2.Task | task_pb2.TaskAttempt


def report_task(
    ledger: Ledger, record: RunRecord, task: task_pb2.Task, happened: Timestamp, from_: bytes
) -> bool:
    """Enter a report on a task and return whether it changed anything; a late one does not.

    Args:
        ledger: The books.
        record: The run.
        task: As reported; the ledger's from here on, unless it is late.
        happened: When, by its reporter's clock.
        from_: The change's origin.

    Raises:
        IllegalTransitionError: The state graph does not know the change.
    """
    before = ledger.tasks(record).find(task.task_id)
    known = 1 if before is None else _attempt(before, 1)
    attempt = _attempt(task, known)
    if before is not None and not _is_news(task, attempt, before, known):
        return False
    task.process = process_of(task, before)
    task.name = task.name or (before.name if before else "") or task.task_id
    _keep_times(task, before if attempt == known else None, happened)
    if not task.HasField("create_time"):
        task.create_time.CopyFrom(happened if before is None else before.create_time)
    _keep_attempts(task, attempt, before)
    put_task(ledger, record, task, before, from_)
    return True


def process_of(task: task_pb2.Task, before: task_pb2.Task | None) -> str:
    """Return the process that a reported task belongs to."""
    return task.process or (before.process if before else "") or task.name or task.task_id


def _is_news(task: task_pb2.Task, attempt: int, before: task_pb2.Task, known: int) -> bool:
    decision = decide_task(
        before.state, task.state, current_attempt=known, reported_attempt=attempt
    )
    if isinstance(decision, Illegal):
        raise IllegalTransitionError(
            what="A task",
            current=task_state_name(before.state),
            reported=task_state_name(task.state),
        )
    return not isinstance(decision, Late)


def _keep_times(task: task_pb2.Task, same: task_pb2.Task | None, happened: Timestamp) -> None:
    """Keep the times of the same attempt, and note those that are reached."""
    if same is not None:
        _fill(task, same)
    if task.state in _STARTED and not task.HasField("start_time"):
        task.start_time.CopyFrom(happened)
    if task.state in FINAL_TASK_STATES and not task.HasField("end_time"):
        task.end_time.CopyFrom(happened)


def _fill(target: _Timed, source: _Timed) -> None:
    """Set the times that are missing from those of another message."""
    for name in ("submit_time", "start_time", "end_time"):
        if source.HasField(name) and not target.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))


def _keep_attempts(task: task_pb2.Task, attempt: int, before: task_pb2.Task | None) -> None:
    if before is not None and before.attempts:
        if task.attempts:
            told = {reported.number for reported in task.attempts}
            every = [*(a for a in before.attempts if a.number not in told), *task.attempts]
            every.sort(key=lambda attempt: attempt.number)
            task.ClearField("attempts")
            task.attempts.extend(every)
        else:
            task.attempts.extend(before.attempts)
    if not task.attempts:
        if task.state == _WAITING:
            return
        task.attempts.add(number=attempt)
    latest = task.attempts[-1]
    latest.state = task.state
    _fill(latest, task)


def _attempt(task: task_pb2.Task, otherwise: int) -> int:
    """Return the number of a task's latest attempt; a report may leave out that it is the same."""
    attempts = task.attempts
    return attempts[-1].number if attempts else otherwise
