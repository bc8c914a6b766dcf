"""The tasks of one run and the processes they are counted in, within a transaction."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from trackside_journal.dialects import upsert
from trackside_protos.runs.v1 import task_pb2
from trackside_runs.record import RunRecord
from trackside_runs.states import OPEN_TASK_STATES
from trackside_runs.storage import queries, rows, tables
from trackside_runs.storage.bulk import delete_many, insert_many, update_many
from trackside_runs.storage.run_store import IDS_A_QUERY
from trackside_runs.storage.task_rows import TASK_FACTS, context_rows, task_facts

_CHANGING: Final = ("state", *TASK_FACTS, "message")
_COLUMNS: Final = ("run_id", "ordinal", "task_id", "process", *_CHANGING)
_KEYS: Final = ("run_id", "ordinal")
_CONTEXT_KEYS: Final = ("run_id", "key", "ordinal")


@dataclass(slots=True)
class TaskEntry:
    """A task without its script, and its number in the run."""

    task: task_pb2.Task
    ordinal: int
    process: str
    """The process in the store; empty: the task is new."""
    encoded: bytes = b""
    """The task as last entered."""
    context: dict[str, str] = field(default_factory=dict[str, str])
    """The task's context in the store."""


@dataclass(slots=True)
class ProcessEntry:
    """A process's counts, and its number in the run."""

    process: task_pb2.Process
    ordinal: int
    is_changed: bool = False


@dataclass(slots=True)
class _Rows:
    """What is written of the books of one transaction."""

    new: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    moved: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    still: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    old_context: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    new_context: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    processes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    scripts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class TaskBook:
    """Reads what is asked for once, in bulk where it is known before, and writes at the end."""

    def __init__(self, connection: Connection, record: RunRecord) -> None:
        self._connection = connection
        self._record = record
        self._tasks: dict[str, TaskEntry | None] = {}
        self._processes: dict[str, ProcessEntry | None] = {}
        self._changed: dict[str, TaskEntry] = {}
        self._scripts: dict[str, str] = {}

    def fetch(self, task_ids: Iterable[str]) -> None:
        """Read tasks that will be asked for."""
        missing = [i for i in dict.fromkeys(task_ids) if i not in self._tasks]
        if not missing:
            return
        self._tasks.update(dict.fromkeys(missing))
        if not self._record.facts.task_count:
            return
        for start in range(0, len(missing), IDS_A_QUERY):
            some = {
                "run_id": self._record.run_id,
                "task_ids": missing[start : start + IDS_A_QUERY],
            }
            found = self._connection.execute(_NAMED_TASKS, some)
            for task_id, ordinal, process, message in found:
                task = task_pb2.Task.FromString(message)
                context = dict(task.context)
                self._tasks[task_id] = TaskEntry(task, ordinal, process, context=context)

    def find(self, task_id: str) -> task_pb2.Task | None:
        """Return a task, if it exists. To be replaced by `put`, not changed."""
        if task_id not in self._tasks:
            self.fetch([task_id])
        entry = self._tasks[task_id]
        return None if entry is None else entry.task

    def open_tasks(self, limit: int) -> list[task_pb2.Task]:
        """Return the first tasks that have not ended, in order of creation."""
        if not self._record.has_open_tasks:
            return []
        # More than are wanted, for some of the store's are no longer open in this book.
        stored = queries.open_task_ids(
            self._connection, self._record.run_id, limit=limit + len(self._changed)
        )
        self.fetch(stored)
        entries = [e for e in self._tasks.values() if e and e.task.state in OPEN_TASK_STATES]
        entries.sort(key=lambda entry: entry.ordinal)
        return [entry.task for entry in entries[:limit]]

    def put(self, task: task_pb2.Task, encoded: bytes, *, script: str = "") -> None:
        """Enter a task as it is now, and the same encoded; both are the book's from here on."""
        entry = self._tasks.get(task.task_id)
        if entry is None:
            facts = self._record.facts
            facts.task_count += 1
            entry = self._tasks[task.task_id] = TaskEntry(task, facts.task_count, "")
        entry.task, entry.encoded = task, encoded
        self._changed[task.task_id] = entry
        if script:
            self._scripts[task.task_id] = script

    def fetch_processes(self, names: Iterable[str]) -> None:
        """Read processes that will be asked for."""
        missing = [name for name in dict.fromkeys(names) if name not in self._processes]
        if not missing:
            return
        self._processes.update(dict.fromkeys(missing))
        if not self._record.facts.process_count:
            return
        for start in range(0, len(missing), IDS_A_QUERY):
            some = {"run_id": self._record.run_id, "names": missing[start : start + IDS_A_QUERY]}
            found = self._connection.execute(_NAMED_PROCESSES, some)
            for row in found.mappings():
                entry = ProcessEntry(rows.process_of(row), row["ordinal"])
                self._processes[row["process"]] = entry

    def process(self, name: str) -> task_pb2.Process:
        """Return a process to be changed in place; a new one if it does not exist."""
        if name not in self._processes:
            self.fetch_processes([name])
        entry = self._processes[name]
        if entry is None:
            facts = self._record.facts
            facts.process_count += 1
            process = task_pb2.Process(process=name, short_process=rows.short_name(name))
            entry = self._processes[name] = ProcessEntry(process, facts.process_count)
        entry.is_changed = True
        return entry.process

    def add_to(self, rows_: "_Rows") -> None:
        """Add what is to be written."""
        run_id = self._record.run_id
        for task_id, entry in self._changed.items():
            process = entry.task.process
            changing = (entry.task.state, *task_facts(entry.task), entry.encoded)
            if not entry.process:
                rows_.new.append((run_id, entry.ordinal, task_id, process, *changing))
            elif process != entry.process:
                rows_.moved.append((*changing, process, run_id, entry.ordinal))
            else:
                rows_.still.append((*changing, run_id, entry.ordinal))
            if entry.context or entry.task.context:
                self._add_context(rows_, entry)
        rows_.processes += [
            rows.process_row(run_id, entry.process, entry.ordinal)
            for entry in self._processes.values()
            if entry is not None and entry.is_changed
        ]
        rows_.scripts += [
            {"run_id": run_id, "task_id": task_id, "script": script}
            for task_id, script in self._scripts.items()
        ]

    def _add_context(self, rows_: "_Rows", entry: TaskEntry) -> None:
        run_id = self._record.run_id
        if entry.context != dict(entry.task.context):
            rows_.old_context += [(run_id, key, entry.ordinal) for key in entry.context]
            rows_.new_context += context_rows(run_id, entry.ordinal, entry.task)


def write(connection: Connection, books: Iterable[TaskBook]) -> None:
    """Write what has changed in the books of several runs, together."""
    rows_ = _Rows()
    for book in books:
        book.add_to(rows_)
    insert_many(connection, tables.TASK, _COLUMNS, rows_.new)
    # Apart, for SQLite rewrites an index of what is set even if it stays the same.
    update_many(connection, tables.TASK, _KEYS, (*_CHANGING, "process"), rows_.moved)
    update_many(connection, tables.TASK, _KEYS, _CHANGING, rows_.still)
    delete_many(connection, tables.TASK_CONTEXT, _CONTEXT_KEYS, rows_.old_context)
    insert_many(connection, tables.TASK_CONTEXT, (*_CONTEXT_KEYS, "value"), rows_.new_context)
    for table, values in (
        (tables.PROCESS, rows_.processes),
        (tables.TASK_SCRIPT, rows_.scripts),
    ):
        if values:
            connection.execute(upsert(connection, table), values)


_TASK, _PROCESS = tables.TASK.c, tables.PROCESS.c
# Built once: to build a statement costs more than to execute it.
_NAMED_TASKS: Final = select(_TASK.task_id, _TASK.ordinal, _TASK.process, _TASK.message).where(
    _TASK.run_id == bindparam("run_id"), _TASK.task_id.in_(bindparam("task_ids", expanding=True))
)
_NAMED_PROCESSES: Final = select(tables.PROCESS).where(
    _PROCESS.run_id == bindparam("run_id"), _PROCESS.process.in_(bindparam("names", expanding=True))
)
