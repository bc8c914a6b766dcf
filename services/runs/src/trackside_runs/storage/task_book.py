"""The tasks of one run and the processes they are counted in, within a transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from trackside_journal.dialects import upsert
from trackside_protos.runs.v1 import task_pb2
from trackside_runs.record import RunRecord
from trackside_runs.states import OPEN_TASK_STATES
from trackside_runs.storage import queries, rows, tables
from trackside_runs.storage.bulk import insert_many, update_many
from trackside_runs.storage.run_store import IDS_A_QUERY

_COLUMNS: Final = ("run_id", "ordinal", "task_id", "state", "process", "message")
_KEYS: Final = ("run_id", "ordinal")
_CHANGING: Final = ("state", "message")


@dataclass(slots=True)
class TaskEntry:
    """A task without its script, and its number in the run."""

    task: task_pb2.Task
    ordinal: int
    process: str
    """The process in the store; empty: the task is new."""
    encoded: bytes = b""
    """The task as last entered."""


@dataclass(slots=True)
class ProcessEntry:
    """A process's counts, and its number in the run."""

    process: task_pb2.Process
    ordinal: int
    is_changed: bool = False


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
        table = tables.TASK.c
        for start in range(0, len(missing), IDS_A_QUERY):
            found = self._connection.execute(
                select(table.task_id, table.ordinal, table.process, table.message).where(
                    table.run_id == self._record.run_id,
                    table.task_id.in_(missing[start : start + IDS_A_QUERY]),
                )
            )
            for task_id, ordinal, process, message in found:
                task = task_pb2.Task.FromString(message)
                self._tasks[task_id] = TaskEntry(task, ordinal, process)

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
        table = tables.PROCESS
        for start in range(0, len(missing), IDS_A_QUERY):
            found = self._connection.execute(
                select(table).where(
                    table.c.run_id == self._record.run_id,
                    table.c.process.in_(missing[start : start + IDS_A_QUERY]),
                )
            )
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

    def write(self) -> None:
        """Write what has changed."""
        run_id = self._record.run_id
        new: list[tuple[Any, ...]] = []
        moved: list[tuple[Any, ...]] = []
        still: list[tuple[Any, ...]] = []
        for task_id, entry in self._changed.items():
            state, process = entry.task.state, entry.task.process
            if not entry.process:
                new.append((run_id, entry.ordinal, task_id, state, process, entry.encoded))
            elif process != entry.process:
                moved.append((state, entry.encoded, process, run_id, entry.ordinal))
            else:
                still.append((state, entry.encoded, run_id, entry.ordinal))
        insert_many(self._connection, tables.TASK, _COLUMNS, new)
        # Apart, for SQLite rewrites an index of what is set even if it stays the same.
        update_many(self._connection, tables.TASK, _KEYS, (*_CHANGING, "process"), moved)
        update_many(self._connection, tables.TASK, _KEYS, _CHANGING, still)
        processes = [e for e in self._processes.values() if e is not None and e.is_changed]
        if processes:
            values = [
                rows.process_row(self._record.run_id, e.process, e.ordinal) for e in processes
            ]
            self._connection.execute(upsert(self._connection, tables.PROCESS), values)
        self._write_scripts()

    def _write_scripts(self) -> None:
        if self._scripts:
            self._connection.execute(
                upsert(self._connection, tables.TASK_SCRIPT),
                [
                    {"run_id": self._record.run_id, "task_id": task_id, "script": script}
                    for task_id, script in self._scripts.items()
                ],
            )
