"""Where what a filter may name in a task is stored."""

from sqlalchemy import case

from trackside_runs.filtering.conditions import ScalarColumn, SearchText, SideTable, Sources
from trackside_runs.storage.tables import TASK, TASK_CONTEXT
from trackside_runs.storage.task_rows import NO_DURATION


def task_sources(run_id: str) -> Sources:
    """Return the storage of every field of `TASK_SCHEMA`, in the tasks of one run."""
    task, context = TASK.c, TASK_CONTEXT.c
    return Sources(
        fields={
            "task_id": ScalarColumn(task.task_id, absent=""),
            "name": ScalarColumn(task.name, absent=""),
            "process": ScalarColumn(task.process, absent=""),
            "state": ScalarColumn(task.state),
            "wait": ScalarColumn(task.wait, absent=0),
            "parent_task": ScalarColumn(task.parent_task_id, absent=""),
            "scope": ScalarColumn(task.scope_path, absent=""),
            "attempts": ScalarColumn(task.attempts),
            "retried": ScalarColumn(case((task.attempts > 1, 1), else_=0)),
            "cached": ScalarColumn(task.cached),
            "exit_code": ScalarColumn(task.exit_code),
            "host": ScalarColumn(task.host, absent=""),
            "machine_type": ScalarColumn(task.machine_type, absent=""),
            "create_time": ScalarColumn(task.create_time_ms, absent=0),
            "start_time": ScalarColumn(task.start_time_ms, absent=0),
            "end_time": ScalarColumn(task.end_time_ms, absent=0),
            "duration": ScalarColumn(task.duration_ms, absent=NO_DURATION),
            "context": SideTable(
                task.ordinal,
                context.ordinal,
                context.value,
                key=context.key,
                within=context.run_id == run_id,
            ),
        },
        search=SearchText(task.search_text),
    )
