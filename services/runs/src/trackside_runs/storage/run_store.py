"""Reading runs under lock, and writing them back: only the rows that have changed."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, bindparam, select

from trackside_protos.runs.v1 import run_pb2
from trackside_runs.record import RunFacts, RunRecord
from trackside_runs.storage import rows, tables
from trackside_runs.storage.bulk import insert_many, update_many

IDS_A_QUERY: Final = 500
"""How many ids one statement names at most."""

_RUN, _TEXT = tables.RUN.c, tables.RUN_MESSAGE.c
_IDS: Final[BindParameter[Any]] = bindparam("run_ids", expanding=True)
# Built once: to build a statement costs more than to execute it.
_PARENTS: Final = select(_RUN.parent_run_id).where(_RUN.run_id.in_(_IDS), _RUN.parent_run_id != "")
_LOCKED: Final = (
    select(
        _RUN.run_id, _RUN.first_sequence, _RUN.position, _RUN.heartbeat_ms, _RUN.report_ms,
        _RUN.state,
    )
    .where(_RUN.run_id.in_(_IDS))
    .order_by(_RUN.run_id)
    .with_for_update()
)  # fmt: skip
_MESSAGES: Final = select(_TEXT.run_id, _TEXT.message, _TEXT.facts).where(_TEXT.run_id.in_(_IDS))

_NEVER_CHANGES: Final = frozenset(
    {
        "run_id",
        "create_time_ms",
        "owner",
        "project",
        "parent_run_id",
        "runner",
        "session_id",
        "external_key",
        "is_parent",
    }
)


def parents_of(connection: Connection, run_ids: Iterable[str]) -> set[str]:
    """Return the parents of runs. Whose child a run is never changes: this needs no lock."""
    found: set[str] = set()
    ordered = sorted(run_ids)
    for start in range(0, len(ordered), IDS_A_QUERY):
        some = {"run_ids": ordered[start : start + IDS_A_QUERY]}
        found.update(parent for (parent,) in connection.execute(_PARENTS, some))
    return found


def load(connection: Connection, run_ids: Sequence[str]) -> list[RunRecord]:
    """Return the runs of these ids that exist, locked in order of id."""
    locked = connection.execute(_LOCKED, {"run_ids": run_ids}).all()
    # A statement of its own: one that had to wait for the lock would see the messages as
    # they were before it waited.
    found = connection.execute(_MESSAGES, {"run_ids": run_ids})
    encoded = {run_id: (run, facts) for run_id, run, facts in found}
    records: list[RunRecord] = []
    for run_id, first_sequence, position, heartbeat_ms, report_ms, state in locked:
        encoded_run, facts = encoded[run_id]
        run = run_pb2.Run.FromString(encoded_run)
        record = RunRecord(run, RunFacts.decode(facts), first_sequence, position)
        record.heartbeat_ms, record.report_ms = heartbeat_ms, report_ms
        record.stored_state, record.stored_name = state, run.name
        record.stored_sequence = run.sequence
        record.stored_facts = bytes(facts)
        records.append(record)
    return records


def write(
    connection: Connection, records: Sequence[RunRecord], look_at_ms: Callable[[RunRecord], int]
) -> None:
    """Write runs.

    Args:
        connection: The transaction's.
        records: What to write.
        look_at_ms: Tells when silence alone may change a run.
    """
    # A new run is inserted, never replaced: should another replica make it at the same time,
    # one of the two fails, is tried again, and finds it.
    new = [record for record in records if record.is_new]
    if new:
        connection.execute(tables.RUN.insert(), [_row(record, look_at_ms) for record in new])
        messages = [_message(record) for record in new]
        insert_many(connection, tables.RUN_MESSAGE, (*_MESSAGE, *_KEY), messages)
    old = [record for record in records if not record.is_new]
    moved = [record for record in old if record.has_moved]
    still = [record for record in old if not record.has_moved]
    _update(connection, _MOVE, [_row(record, look_at_ms) for record in moved])
    _update(connection, _STAY, [_row(record, look_at_ms) for record in still])
    changed = [_message(record) for record in old if _has_changed(record)]
    update_many(connection, tables.RUN_MESSAGE, _KEY, _MESSAGE, changed)


def _row(record: RunRecord, look_at_ms: Callable[[RunRecord], int]) -> dict[str, Any]:
    return rows.run_row(record) | {"look_at_ms": look_at_ms(record)}


def _message(record: RunRecord) -> tuple[bytes, bytes, str]:
    sequence, encoded = record.encoded
    if sequence != record.message.sequence:
        encoded = record.message.SerializeToString()
    return encoded, record.facts.encode(), record.run_id


def _has_changed(record: RunRecord) -> bool:
    return (
        record.message.sequence != record.stored_sequence
        or record.facts.encode() != record.stored_facts
    )


def _update(
    connection: Connection, columns: tuple[str, ...], values: Sequence[dict[str, Any]]
) -> None:
    named = [tuple([row[name] for name in (*columns, *_KEY)]) for row in values]
    update_many(connection, tables.RUN, _KEY, columns, named)


_KEY: Final = ("run_id",)
_MESSAGE: Final = ("message", "facts")
_MOVE: Final = tuple(c.name for c in tables.RUN.c if c.name not in _NEVER_CHANGES)
# SQLite rewrites an index of what is set even if it stays the same; times come with states.
_STAY: Final = tuple(
    name for name in _MOVE if name not in {"state", "name", "start_time_ms", "end_time_ms"}
)
