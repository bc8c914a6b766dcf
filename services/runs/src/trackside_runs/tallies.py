"""Counting tasks: by state and process, as each changes, so nothing is ever counted over."""

from collections.abc import MutableMapping
from typing import Final

from trackside_journal import wire
from trackside_protos.runs.v1 import change_pb2, run_pb2, task_pb2
from trackside_runs.record import RunRecord
from trackside_runs.states import FINAL_TASK_STATES, task_state_name
from trackside_runs.storage.ledger import Ledger
from trackside_runs.storage.rows import short_name

_KIND: Final = change_pb2.RunChange.TASK_FIELD_NUMBER
_TASK: Final = change_pb2.TaskChange.TASK_FIELD_NUMBER
_PROCESS: Final = change_pb2.TaskChange.PROCESS_FIELD_NUMBER
_CACHED: Final = task_pb2.TaskState.TASK_STATE_CACHED
_COUNTS: Final = {
    int(state): task_state_name(state).lower() for state in task_pb2.TaskState.values() if state
}
"""The field that counts each state, in a process as in a run."""


def put_task(
    ledger: Ledger,
    record: RunRecord,
    task: task_pb2.Task,
    before: task_pb2.Task | None,
    from_: bytes,
) -> None:
    """Enter a task as it is now, count it, and enter the change.

    Args:
        ledger: The books.
        record: The run.
        task: The task now; the ledger's from here on. Its script is stored apart.
        before: The task before, if it existed.
        from_: The change's origin.
    """
    script, task.script = task.script, ""
    task.short_process = short_name(task.process)
    task.cached = task.state == _CACHED
    _note_elapsed(task)
    _count_in_run(record.message, task, before)
    book = ledger.tasks(record)
    if before is not None and before.process != task.process:
        # Its reporter has renamed the task's process: both get new counts, so both are told.
        left = book.process(before.process)
        left.total -= 1
        _subtract(left, before)
        _enter(ledger, record, task, left, from_)
        before = None
    process = book.process(task.process)
    if not process.HasField("create_time"):
        process.create_time.CopyFrom(task.create_time)
    if before is None:
        process.total += 1
    else:
        _subtract(process, before)
    _add(process, task)
    encoded = _enter(ledger, record, task, process, from_)
    book.put(task, encoded, script=script)
    record.touch()


def recount(counts: MutableMapping[str, int], before: str, after: str) -> None:
    """Move one from a count to another; counts of nothing are left out."""
    uncount(counts, before)
    counts[after] += 1


def uncount(counts: MutableMapping[str, int], name: str) -> None:
    """Take one from a count; one of nothing is left out."""
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]


def _enter(
    ledger: Ledger,
    record: RunRecord,
    task: task_pb2.Task,
    process: task_pb2.Process,
    from_: bytes,
) -> bytes:
    """Enter the change of a task and its process, and return the encoded task."""
    sequence = ledger.number(record)
    task.sequence = process.sequence = sequence
    encoded = task.SerializeToString()
    counted = process.SerializeToString()
    body = wire.bytes_field(_TASK, encoded) + wire.bytes_field(_PROCESS, counted)
    ledger.enter(record, sequence, _KIND, body, from_)
    return encoded


def _count_in_run(run: run_pb2.Run, task: task_pb2.Task, before: task_pb2.Task | None) -> None:
    counts = run.task_counts
    if before is not None:
        _count(counts, before, -1)
    _count(counts, task, 1)
    counts.peak_concurrency = max(counts.peak_concurrency, counts.running)
    gained = _ended_ms(task) - (_ended_ms(before) if before is not None else 0)
    if gained:
        run.task_duration.FromMilliseconds(run.task_duration.ToMilliseconds() + gained)


def _add(process: task_pb2.Process, task: task_pb2.Task) -> None:
    _count(process, task, 1)
    _lengthen(process, _ended_ms(task))


def _subtract(process: task_pb2.Process, task: task_pb2.Task) -> None:
    _count(process, task, -1)
    _lengthen(process, -_ended_ms(task))


def _count(tally: "task_pb2.Process | run_pb2.TaskCounts", task: task_pb2.Task, count: int) -> None:
    name = _COUNTS[task.state]
    setattr(tally, name, getattr(tally, name) + count)
    if len(task.attempts) > 1:
        tally.retried += count


def _lengthen(process: task_pb2.Process, milliseconds: int) -> None:
    if milliseconds:
        total = process.task_duration.ToMilliseconds() + milliseconds
        process.task_duration.FromMilliseconds(total)
        if not total:
            process.ClearField("task_duration")  # as it is read from the store


def _ended_ms(task: task_pb2.Task) -> int:
    if task.state not in FINAL_TASK_STATES or not task.HasField("elapsed_duration"):
        return 0
    return task.elapsed_duration.ToMilliseconds()


def _note_elapsed(task: task_pb2.Task) -> None:
    task.ClearField("elapsed_duration")
    if task.HasField("start_time") and task.HasField("end_time"):
        elapsed = task.end_time.ToMilliseconds() - task.start_time.ToMilliseconds()
        task.elapsed_duration.FromMilliseconds(max(0, elapsed))
