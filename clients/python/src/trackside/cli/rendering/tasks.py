"""Tasks and processes, one line each, and one task in full."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from trackside.cli.paint import Paint, Style, Text
from trackside.cli.parameters import labels_text
from trackside.cli.safe_text import harmless, harmless_cell
from trackside.cli.tables import Cell, fields, table
from trackside.cli.times import (
    ago,
    is_set,
    seconds_between,
    seconds_of,
    span,
    when,
)
from trackside.client.sizes import size_text
from trackside.client.states import task_state_word, task_wait_word
from trackside_protos.runs.v1.task_pb2 import Process, Resources, Task, TaskAttempt, TaskState

_HEADERS: Final = ("TASK", "NAME", "STATE", "DURATION", "ATTEMPTS")
_WIDE_HEADERS: Final = ("PROCESS", "CREATED", "EXIT", "MACHINE", "SCOPE", "CONTEXT", "MESSAGE")
_PROCESS_HEADERS: Final = (
    "PROCESS",
    "TOTAL",
    "PENDING",
    "SUBMITTED",
    "RUNNING",
    "SUCCEEDED",
    "CACHED",
    "FAILED",
    "ABORTED",
    "RETRIED",
    "TASK TIME",
)


def task_table(
    tasks: Sequence[Task],
    now: datetime,
    paint: Paint,
    *,
    wide: bool = False,
    width: int | None = None,
) -> list[str]:
    """Return a table of tasks."""
    rows = [_row(task, now, paint, wide=wide) for task in tasks]
    headers = (*_HEADERS, *_WIDE_HEADERS) if wide else _HEADERS
    return table(headers, rows, paint, width=None if wide else width, flexible=["NAME"])


def node_table(
    tasks: Sequence[Task], paint: Paint, *, width: int | None = None, since_received: float = 0.0
) -> list[str]:
    """Return the nodes of a run as its page shows them: name, state, duration or cache hit."""
    rows = [
        [
            harmless_cell(task.name or task.task_id),
            task_state_text(task, paint),
            task_duration_text(task, since_received),
            harmless_cell(task.message),
        ]
        for task in tasks
    ]
    return table(("NODE", "STATE", "DURATION", ""), rows, paint, width=width, flexible=["", "NODE"])


def _row(task: Task, now: datetime, paint: Paint, *, wide: bool) -> list[Cell]:
    row: list[Cell] = [
        harmless_cell(task.task_id),
        harmless_cell(task.name),
        task_state_text(task, paint),
        task_duration_text(task),
        str(len(task.attempts)),
    ]
    if wide:
        latest = task.attempts[-1] if task.attempts else TaskAttempt()
        row += [
            harmless_cell(task.process),
            ago(task.create_time, now) if is_set(task.create_time) else "",
            str(latest.exit_code) if latest.HasField("exit_code") else "",
            harmless_cell(latest.machine_type),
            harmless_cell(task.scope_path),
            labels_text(task.context),
            harmless_cell(task.message),
        ]
    return row


def task_state_text(task: Task, paint: Paint) -> Text:
    """Return the state, and what a waiting task waits for: `PENDING (COMPUTE)`."""
    word = paint.state(task_state_word(task.state))
    wait = task_wait_word(task.wait) if task.state == TaskState.TASK_STATE_PENDING else ""
    return Text(f"{word.text} ({wait})", word.style) if wait else word


def task_duration_text(task: Task, since_received: float = 0.0) -> str:
    """Return how long a task has taken, counting while it runs, or `<cache hit>`."""
    if task.state == TaskState.TASK_STATE_CACHED or task.cached:
        return "<cache hit>"
    if not is_set(task.start_time):
        return ""
    if task.state == TaskState.TASK_STATE_RUNNING:
        return f"{span(seconds_of(task.elapsed_duration) + since_received)} …"
    return span(seconds_of(task.elapsed_duration))


def process_table(
    processes: Sequence[Process], paint: Paint, *, wide: bool = False, width: int | None = None
) -> list[str]:
    """Return a table of processes; full names when `wide`."""
    rows: list[list[Cell]] = [
        [
            harmless_cell(process.process if wide else process.short_process or process.process),
            str(process.total),
            *(_count(process, state) for state in ("pending", "submitted", "running")),
            *(_count(process, state) for state in ("succeeded", "cached")),
            Text(_count(process, "failed"), Style.BAD if process.failed else Style.PLAIN),
            *(_count(process, state) for state in ("aborted", "retried")),
            span(seconds_of(process.task_duration)),
        ]
        for process in processes
    ]
    return table(_PROCESS_HEADERS, rows, paint, width=None if wide else width, flexible=["PROCESS"])


def _count(process: Process, state: str) -> str:
    number: int = getattr(process, state)
    return str(number) if number else "-"


def task_page(run_id: str, task: Task, now: datetime, paint: Paint) -> list[str]:
    """Return everything about one task."""
    lines = [
        paint.text(f"Task {harmless(task.task_id)} of run {run_id}", Style.STRONG),
        *fields(
            [
                ("Name", harmless(task.name)),
                ("Process", harmless(task.process)),
                ("State", task_state_text(task, paint)),
                ("Engine's word", harmless(task.engine_state)),
                ("Message", harmless(task.message)),
                ("Created", when(task.create_time, now)),
                ("Submitted", when(task.submit_time, now)),
                ("Started", when(task.start_time, now)),
                ("Ended", when(task.end_time, now)),
                ("Duration", task_duration_text(task)),
                ("Part of task", harmless(task.parent_task_id)),
                ("Scope", harmless(task.scope_path)),
                ("Context", labels_text(task.context)),
                ("Asked for", resources_text(task.requested)),
                ("Directory", harmless(task.work_directory)),
                ("Container", harmless(task.container_image)),
            ],
            paint,
        ),
    ]
    if task.attempts:
        lines += ["", paint.text("Attempts", Style.STRONG), *_attempts(task.attempts, paint)]
    if task.script:
        lines += ["", paint.text("Script", Style.STRONG)]
        lines += [f"  {harmless(line)}" for line in task.script.splitlines()]
    return lines


def _attempts(attempts: Sequence[TaskAttempt], paint: Paint) -> list[str]:
    rows: list[list[Cell]] = [
        [
            str(attempt.number),
            paint.state(task_state_word(attempt.state)),
            _attempt_duration(attempt),
            str(attempt.exit_code) if attempt.HasField("exit_code") else "",
            harmless_cell(attempt.host),
            harmless_cell(attempt.machine_type),
            resources_text(attempt.used),
            harmless_cell(attempt.error_message),
        ]
        for attempt in attempts
    ]
    headers = ("NO", "STATE", "DURATION", "EXIT", "HOST", "MACHINE", "USED", "ERROR")
    return [f"  {line}" for line in table(headers, rows, paint)]


def _attempt_duration(attempt: TaskAttempt) -> str:
    if not (is_set(attempt.start_time) and is_set(attempt.end_time)):
        return ""
    return span(seconds_between(attempt.start_time, attempt.end_time))


def resources_text(resources: Resources) -> str:
    """Return for example `2 cpus, 1.5 GB memory`; empty when nothing is known."""
    parts: list[str] = []
    if resources.HasField("cpus"):
        parts.append(f"{resources.cpus:g} cpus")
    if resources.HasField("memory_bytes"):
        parts.append(f"{size_text(resources.memory_bytes)} memory")
    if resources.HasField("disk_bytes"):
        parts.append(f"{size_text(resources.disk_bytes)} disk")
    if resources.HasField("accelerators"):
        parts.append(f"{resources.accelerators} accelerators")
    if resources.HasField("duration"):
        parts.append(span(seconds_of(resources.duration)))
    if resources.HasField("cpu_percent"):
        parts.append(f"{resources.cpu_percent:.0f}% load")
    return ", ".join(parts)
