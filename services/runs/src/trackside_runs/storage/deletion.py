"""Removing a run's rows: those by which it is found at once, the many others bit by bit."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Column, Connection, Table, delete, insert, select, tuple_, update

from trackside_runs.storage import fact_tables, tables
from trackside_runs.storage.run_store import IDS_A_QUERY

_FOUND_BY: Final = (
    tables.RUN,
    tables.RUN_MESSAGE,
    tables.RUN_DETAIL,
    tables.RUN_SEARCH,
    tables.RUN_TAG,
    tables.RUN_LABEL,
    tables.RUN_PARAMETER,
    tables.RUN_FIGURE,
    fact_tables.QUEUED_RUN,
    fact_tables.ASSIGNMENT,
    fact_tables.CONTROL,
    fact_tables.OUTPUT_DIRECTORY,
    fact_tables.DELETION_ORDER,
)
_PARTS: Final = (
    tables.TASK,
    tables.TASK_CONTEXT,
    tables.TASK_SCRIPT,
    tables.PROCESS,
    tables.SCOPE,
    tables.OUTPUT,
    tables.CHANGE,
    fact_tables.PRODUCER,
)
_ROWS_A_WORK: Final = 2000
_CONFIRMED: Final = {"logs": "is_confirmed_by_logs", "metrics": "is_confirmed_by_metrics"}


def forget_runs(connection: Connection, run_ids: Sequence[str]) -> None:
    """Remove what runs are found by."""
    for start in range(0, len(run_ids), IDS_A_QUERY):
        some = run_ids[start : start + IDS_A_QUERY]
        for table in _FOUND_BY:
            connection.execute(delete(table).where(table.c.run_id.in_(some)))


def note_deleted(
    connection: Connection, deleted: Sequence[tuple[str, str, int]], *, now_ms: int
) -> None:
    """Note (run, who had it deleted, position of its last change)."""
    if deleted:
        connection.execute(
            insert(fact_tables.DELETED_RUN),
            [
                {
                    "run_id": run_id,
                    "requester": requester,
                    "delete_time_ms": now_ms,
                    "position": position,
                    "is_purged": False,
                    "is_confirmed_by_logs": False,
                    "is_confirmed_by_metrics": False,
                }
                for run_id, requester, position in deleted
            ],
        )


def was_deleted(connection: Connection, run_id: str) -> bool:
    """Return whether there was a run of this id that was deleted."""
    table = fact_tables.DELETED_RUN.c
    found = connection.execute(select(table.run_id).where(table.run_id == run_id))
    return found.first() is not None


def confirm(connection: Connection, service: str, run_ids: Sequence[str]) -> None:
    """Note that a service has nothing left of deleted runs."""
    deleted = fact_tables.DELETED_RUN
    for start in range(0, len(run_ids), IDS_A_QUERY):
        some = deleted.c.run_id.in_(run_ids[start : start + IDS_A_QUERY])
        connection.execute(update(deleted).where(some).values({_CONFIRMED[service]: True}))


def pending_services(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Return the services in which something may be left of any of some deleted runs."""
    deleted = fact_tables.DELETED_RUN.c
    states = {"runs": "is_purged", **_CONFIRMED}
    columns = [deleted[column] for column in states.values()]
    found: set[str] = set()
    for start in range(0, len(run_ids), IDS_A_QUERY):
        some = deleted.run_id.in_(run_ids[start : start + IDS_A_QUERY])
        for row in connection.execute(select(*columns).where(some)):
            found.update(name for name, is_done in zip(states, row, strict=True) if not is_done)
    return [name for name in states if name in found]


def unpurged(connection: Connection, limit: int = 100) -> list[str]:
    """Return deleted runs of which something may be left."""
    table = fact_tables.DELETED_RUN.c
    found = connection.execute(select(table.run_id).where(~table.is_purged).limit(limit))
    return [run_id for (run_id,) in found]


def purge(connection: Connection, run_id: str) -> None:
    """Remove some of what is left of a deleted run; the run is noted as purged with the last."""
    deleted = fact_tables.DELETED_RUN
    position = connection.execute(
        select(deleted.c.position).where(deleted.c.run_id == run_id)
    ).scalar_one()
    room = _ROWS_A_WORK
    for table in _PARTS:
        room -= _delete_some(connection, table, run_id, room, kept_position=position)
        if room <= 0:
            return
    connection.execute(update(deleted).where(deleted.c.run_id == run_id).values(is_purged=True))


def forget_old_deletions(connection: Connection, before_ms: int) -> int:
    """Drop the last changes of runs that were deleted long ago; return the last position."""
    deleted, change = fact_tables.DELETED_RUN, tables.CHANGE
    old = select(deleted.c.position).where(
        deleted.c.position > 0, deleted.c.delete_time_ms < before_ms, deleted.c.is_purged
    )
    positions = [position for (position,) in connection.execute(old.limit(_ROWS_A_WORK))]
    if not positions:
        return 0
    for start in range(0, len(positions), IDS_A_QUERY):
        some = positions[start : start + IDS_A_QUERY]
        connection.execute(delete(change).where(change.c.position.in_(some)))
        connection.execute(update(deleted).where(deleted.c.position.in_(some)).values(position=0))
    return max(positions)


def _delete_some(
    connection: Connection, table: Table, run_id: str, limit: int, *, kept_position: int
) -> int:
    keys: list[Column[object]] = list(table.primary_key)
    chosen = select(*keys).where(table.c.run_id == run_id).limit(limit)
    if table is tables.CHANGE:
        chosen = chosen.where(table.c.position != kept_position)
    found = [tuple(row) for row in connection.execute(chosen)]
    for start in range(0, len(found), IDS_A_QUERY):
        some = found[start : start + IDS_A_QUERY]
        connection.execute(delete(table).where(tuple_(*keys).in_(some)))
    return len(found)
