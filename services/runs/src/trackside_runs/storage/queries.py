"""Reading runs and their parts. Called with a reader's connection."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, case, select

from trackside_journal import wire
from trackside_journal.splice import Page
from trackside_journal.watching import Range
from trackside_protos.runs.v1 import (
    change_pb2,
    output_pb2,
    provenance_pb2,
    run_pb2,
    runs_service_pb2,
    scope_pb2,
    task_pb2,
)
from trackside_runs.filtering.orders import Order
from trackside_runs.record import RunFacts
from trackside_runs.states import FINAL_RUN_STATES, OPEN_TASK_STATES
from trackside_runs.storage import fact_tables, revocations, rows, tables
from trackside_runs.storage.keys import path_key
from trackside_runs.storage.notices import RUN_KIND, list_change
from trackside_runs.storage.scope_book import NEWEST
from trackside_serving.errors import RunDeletedError

_CHANGES_FIELD: Final = 2
_ENTRIES_FIELD: Final = 1
_REVOCATIONS_FIELD: Final = 4
_PAGE_CHANGES: Final = 500
_PAGE_BYTES: Final = 256 << 10


def run_message(connection: Connection, run_id: str) -> run_pb2.Run | None:
    """Return a run as lists show it, if it exists."""
    found = connection.execute(_MESSAGE, {"run_id": run_id}).one_or_none()
    return None if found is None else parsed_run(*found)


def parsed_run(message: bytes, heartbeat_ms: int) -> run_pb2.Run:
    """Return a stored run, with the time that is not in its message."""
    run = run_pb2.Run.FromString(message)
    if heartbeat_ms and not run.is_parent:
        run.heartbeat_time.FromMilliseconds(heartbeat_ms)
    return run


def complete_run(connection: Connection, run_id: str) -> run_pb2.Run | None:
    """Return a run with its provenance, scopes, launch and sweep, if it exists."""
    run = run_message(connection, run_id)
    if run is None:
        return None
    table = tables.RUN_DETAIL.c
    details = connection.execute(
        select(table.provenance, table.launch, table.sweep).where(table.run_id == run_id)
    ).one_or_none()
    if details is not None:
        provenance, launch, sweep = details
        if provenance:
            run.provenance.CopyFrom(provenance_pb2.Provenance.FromString(provenance))
        if launch:
            run.launch.CopyFrom(run_pb2.Launch.FromString(launch))
        if sweep:
            run.sweep.CopyFrom(run_pb2.Sweep.FromString(sweep))
    run.scopes.extend(scopes(connection, run_id))
    return run


def assigned_run(connection: Connection, run_id: str) -> run_pb2.Run | None:
    """Return a run as its agent is given it: with a launch whose secrets are not masked."""
    run = complete_run(connection, run_id)
    table = tables.RUN_DETAIL.c
    secret = connection.execute(
        select(table.secret_launch).where(table.run_id == run_id)
    ).scalar_one_or_none()
    if run is not None and secret:
        run.launch.CopyFrom(run_pb2.Launch.FromString(secret))
    return run


def open_children(connection: Connection, parent_id: str) -> list[str]:
    """Return the ids of a parent's children that have no final state."""
    table = tables.RUN.c
    found = connection.execute(
        select(table.run_id).where(
            table.parent_run_id == parent_id, table.state.not_in(sorted(FINAL_RUN_STATES))
        )
    )
    return [run_id for (run_id,) in found]


def children(connection: Connection, parent_id: str) -> list[str]:
    """Return the ids of all children of a parent."""
    table = tables.RUN.c
    found = connection.execute(select(table.run_id).where(table.parent_run_id == parent_id))
    return [run_id for (run_id,) in found]


def run_id_of_key(connection: Connection, external_key: str) -> str:
    """Return the run with an external key; empty if there is none."""
    table = tables.RUN.c
    found = connection.execute(select(table.run_id).where(table.external_key == external_key))
    return found.scalar_one_or_none() or ""


def scopes(connection: Connection, run_id: str) -> list[scope_pb2.Scope]:
    """Return the newest scopes of a run, in order of first appearance."""
    table = tables.SCOPE.c
    found = connection.execute(
        select(table.message)
        .where(table.run_id == run_id)
        .order_by(table.ordinal.desc())
        .limit(NEWEST)
    )
    return [scope_pb2.Scope.FromString(message) for (message,) in reversed(found.all())]


def processes(
    connection: Connection, run_id: str, order: Order, *, limit: int
) -> list[task_pb2.Process]:
    """Return the processes of a run."""
    name = "create_time_ms" if order.field == "create_time" else order.field
    column = tables.PROCESS.c[name]
    found = connection.execute(
        select(tables.PROCESS)
        .where(tables.PROCESS.c.run_id == run_id, tables.PROCESS.c.total > 0)
        .order_by(column.desc() if order.descending else column.asc(), tables.PROCESS.c.ordinal)
        .limit(limit)
    )
    return [rows.process_of(row) for row in found.mappings()]


def tasks(
    connection: Connection,
    run_id: str,
    *,
    states: Sequence[int],
    process: str,
    after: int,
    limit: int,
) -> list[tuple[int, task_pb2.Task]]:
    """Return (number, task) of the tasks after a number, in order of creation."""
    table = tables.TASK.c
    statement = select(table.ordinal, table.message).where(
        table.run_id == run_id, table.ordinal > after
    )
    if process:
        statement = statement.where(table.process == process)
        statement = statement.where(table.state.in_(states)) if states else statement
    elif states:
        ordinals = _ordinals(connection, run_id, states, after=after, limit=limit)
        if not ordinals:
            return []  # for "in nothing" the store would look at every task
        statement = statement.where(table.ordinal.in_(ordinals))
    found = connection.execute(statement.order_by(table.ordinal).limit(limit))
    return [(ordinal, task_pb2.Task.FromString(message)) for ordinal, message in found]


def _ordinals(
    connection: Connection, run_id: str, states: Sequence[int], *, after: int, limit: int
) -> list[int]:
    # State by state, for the index has each in order, and no two together.
    table = tables.TASK.c
    found: list[int] = []
    for state in set(states):
        statement = select(table.ordinal).where(
            table.run_id == run_id, table.state == state, table.ordinal > after
        )
        found += connection.execute(statement.order_by(table.ordinal).limit(limit)).scalars()
    return sorted(found)[:limit]


def open_task_ids(connection: Connection, run_id: str, *, limit: int) -> list[str]:
    """Return the ids of the first tasks that have not ended."""
    ordinals = _ordinals(connection, run_id, sorted(OPEN_TASK_STATES), after=0, limit=limit)
    table = tables.TASK.c
    found = connection.execute(
        select(table.task_id).where(table.run_id == run_id, table.ordinal.in_(ordinals))
    )
    return [task_id for (task_id,) in found]


def open_tasks(
    connection: Connection, run_id: str, *, after: int, limit: int
) -> list[tuple[int, task_pb2.Task]]:
    """Return (number, task) of the tasks that have not ended."""
    return tasks(
        connection,
        run_id,
        states=sorted(OPEN_TASK_STATES),
        process="",
        after=after,
        limit=limit,
    )


def task(connection: Connection, run_id: str, task_id: str) -> task_pb2.Task | None:
    """Return a task with its script, if it exists."""
    table, scripts = tables.TASK.c, tables.TASK_SCRIPT.c
    found = connection.execute(
        select(table.message, scripts.script)
        .join_from(
            tables.TASK,
            tables.TASK_SCRIPT,
            (scripts.run_id == table.run_id) & (scripts.task_id == table.task_id),
            isouter=True,
        )
        .where(table.run_id == run_id, table.task_id == task_id)
    ).one_or_none()
    if found is None:
        return None
    message, script = found
    complete = task_pb2.Task.FromString(message)
    complete.script = script or ""
    return complete


def outputs(
    connection: Connection, run_id: str, *, after: str, limit: int
) -> list[output_pb2.Output]:
    """Return the outputs of a run after a path, in order of path."""
    table = tables.OUTPUT.c
    found = connection.execute(
        select(table.message)
        .where(table.run_id == run_id, table.path_key > (path_key(after) if after else ""))
        .order_by(table.path_key)
        .limit(limit)
    )
    return [output_pb2.Output.FromString(message) for (message,) in found]


def output(connection: Connection, run_id: str, path: str) -> output_pb2.Output | None:
    """Return the output of a run with a path, if there is one."""
    table = tables.OUTPUT.c
    found = connection.execute(
        select(table.message).where(table.run_id == run_id, table.path_key == path_key(path))
    ).scalar_one_or_none()
    return None if found is None else output_pb2.Output.FromString(found)


def launching_agent(connection: Connection, run_id: str) -> str:
    """Return the agent that was given a run, also long ago; empty if none was."""
    table = tables.RUN_MESSAGE.c
    found = connection.execute(
        select(table.facts).where(table.run_id == run_id)
    ).scalar_one_or_none()
    facts = RunFacts.decode(bytes(found or b""))
    return facts.authority if facts.is_launched else ""


def changes(
    connection: Connection, run_id: str, *, after: int, limit: int
) -> list[change_pb2.RunChange]:
    """Return the kept changes of a run after a sequence."""
    table = tables.CHANGE.c
    found = connection.execute(
        select(table.message)
        .where(table.run_id == run_id, table.sequence > after)
        .order_by(table.sequence)
        .limit(limit)
    )
    return [change_pb2.RunChange.FromString(message) for (message,) in found]


def run_range(connection: Connection, run_id: str) -> Range:
    """Return which changes of a run are kept."""
    table = tables.RUN.c
    found = connection.execute(
        select(table.sequence, table.first_sequence).where(table.run_id == run_id)
    ).one_or_none()
    return Range(0) if found is None else Range(found[0], earliest=found[1] - 1)


def run_page(connection: Connection, run_id: str, after: int) -> Page:
    """Return the changes of a run after a sequence, as a watch tells them.

    Raises:
        RunDeletedError: The run was deleted.
    """
    state = connection.execute(_HEAD, {"run_id": run_id}).one_or_none()
    if state is None:
        raise RunDeletedError
    head, sealed = state
    found = connection.execute(_CHANGES, {"run_id": run_id, "after": after})
    payload, last = _joined(found, after)
    return Page(payload, last, max(head, last), ended=bool(sealed))


def list_range(connection: Connection) -> Range:
    """Return which changes of the list are kept."""
    table = tables.LIST_HEAD.c
    position, first = connection.execute(select(table.position, table.first_position)).one()
    return Range(position, earliest=first - 1)


def list_page(connection: Connection, after: int) -> Page:
    """Return the changes of all runs after a position, as a watch of the list tells them."""
    head = list_range(connection).head
    table = tables.CHANGE.c
    found = connection.execute(
        select(table.position, case((table.kind == RUN_KIND, table.message)))
        .where(table.position > after)
        .order_by(table.position)
        .limit(_PAGE_CHANGES)
    ).all()
    parts: list[bytes] = []
    size = 0
    last = after
    for position, message in found:
        last = position
        if message is not None:
            run = change_pb2.RunChange.FromString(message).run
            run.ClearField("provenance")
            parts.append(list_change(position, run.SerializeToString()))
            size += len(parts[-1])
            if size >= _PAGE_BYTES:
                return Page(b"".join(parts), last, max(head, last))
    if len(found) < _PAGE_CHANGES:
        last = max(last, head)  # what comes behind are no changes
    return Page(b"".join(parts), last, max(head, last))


def directory_page(
    connection: Connection, after: int, limit: int, *, with_runs: bool = True
) -> Page:
    """Return the directory entries and revocations after a position, encoded."""
    head = list_range(connection).head
    table = fact_tables.DIRECTORY.c
    runs = (
        connection.execute(
            select(fact_tables.DIRECTORY)
            .where(table.position > after)
            .order_by(table.position)
            .limit(limit if with_runs else 0)
        )
        .mappings()
        .all()
    )
    revoked = revocations.after(connection, after, limit=limit)
    last = min(
        runs[-1]["position"] if len(runs) == limit else head,
        revoked[-1].position if len(revoked) == limit else head,
    )
    entries = [_entry(row) for row in runs if row["position"] <= last]
    told = [placed.revocation.SerializeToString() for placed in revoked if placed.position <= last]
    payload = [wire.bytes_field(_ENTRIES_FIELD, entry) for entry in entries]
    payload += [wire.bytes_field(_REVOCATIONS_FIELD, revocation) for revocation in told]
    return Page(b"".join(payload), last, head)


def directory_entry(connection: Connection, run_id: str) -> bytes | None:
    """Return one directory entry, encoded, if the run exists."""
    found = (
        connection.execute(
            select(fact_tables.DIRECTORY).where(fact_tables.DIRECTORY.c.run_id == run_id)
        )
        .mappings()
        .one_or_none()
    )
    return None if found is None else _entry(found)


def heads(connection: Connection, topics: Sequence[str]) -> dict[str, int]:
    """Return the latest sequences of runs, for the hub's search for what the bus has lost.

    That of a sealed run is one too many, so that its watchers look and find the end.
    """
    table = tables.RUN.c
    found = connection.execute(
        select(table.run_id, table.sequence, table.sealed).where(table.run_id.in_(topics))
    )
    latest: dict[str, int] = {row[0]: row[1] + row[2] for row in found}
    head = list_range(connection).head
    return latest | {topic: head for topic in topics if topic not in latest}


def _entry(row: Any) -> bytes:  # noqa: ANN401 - a row of any driver
    entry = runs_service_pb2.RunDirectoryEntry(
        run_id=row["run_id"],
        owner=row["owner"],
        project=row["project"],
        sealed=row["sealed"],
        deleted=row["deleted"],
    )
    if row["end_time_ms"]:
        entry.end_time.FromMilliseconds(row["end_time_ms"])
    return entry.SerializeToString()


def _joined(found: Any, after: int) -> tuple[bytes, int]:  # noqa: ANN401 - a result of any driver
    parts: list[bytes] = []
    size = 0
    last = after
    for sequence, message in found:
        parts.append(wire.bytes_field(_CHANGES_FIELD, message))
        size += len(message)
        last = sequence
        if size >= _PAGE_BYTES:
            break
    return b"".join(parts), last


_RUN, _TEXT, _CHANGE = tables.RUN.c, tables.RUN_MESSAGE.c, tables.CHANGE.c
# Built once: to build a statement costs more than to execute it.
_MESSAGE: Final = (
    select(_TEXT.message, _RUN.heartbeat_ms)
    .join_from(tables.RUN_MESSAGE, tables.RUN, _RUN.run_id == _TEXT.run_id)
    .where(_TEXT.run_id == bindparam("run_id"))
)
_HEAD: Final = select(_RUN.sequence, _RUN.sealed).where(_RUN.run_id == bindparam("run_id"))
_CHANGES: Final = (
    select(_CHANGE.sequence, _CHANGE.message)
    .where(_CHANGE.run_id == bindparam("run_id"), _CHANGE.sequence > bindparam("after"))
    .order_by(_CHANGE.sequence)
    .limit(_PAGE_CHANGES)
)
