"""The heads of runs' streams: which sequence comes next, given out under the head's lock.

Whoever appends locks the heads of its runs first, in order of run id, so sequences are dense
and in commit order, and no two writers wait for each other.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, Table, bindparam, select
from sqlmodel import Field, SQLModel

from trackside_journal.dialects import upsert, upsert_rows

_RUNS_A_QUERY: Final = 500


class HeadColumns(SQLModel):
    """The columns of a service's `head` table: one row for each run that has anything."""

    run_id: str = Field(primary_key=True, max_length=16)
    sequence: int = Field(default=0, sa_type=BigInteger)


@dataclass(slots=True)
class Head:
    """The position of one run's stream within a transaction."""

    run_id: str
    sequence: int
    changed: bool = False

    def advance(self, count: int) -> int:
        """Give out `count` sequences and return the first."""
        first = self.sequence + 1
        self.sequence += count
        self.changed = True
        return first


def lock_heads(
    connection: Connection,
    table: Table,
    run_ids: Iterable[str],
    *,
    but_not_made: Collection[str] = (),
) -> dict[str, Head]:
    """Return the heads of runs, locked until the transaction ends; missing ones are made.

    Those of `but_not_made` are not: nothing is appended to them, and they may be deleted runs'.

    SQLite has one writer and needs no lock. On PostgreSQL missing heads are made before any is
    locked, and all are locked in order of run id: two writers never wait for each other in a
    circle.
    """
    ordered = sorted(set(run_ids))
    known = read_heads(connection, table, ordered)
    missing = [r for r in ordered if r not in known and r not in but_not_made]
    if missing:
        connection.execute(
            upsert(connection, table, only=()),
            [{"run_id": run_id, "sequence": 0} for run_id in missing],
        )
    if connection.dialect.name != "sqlite":
        known = _read(connection, _locking(table), ordered)
    return {run_id: Head(run_id, known.get(run_id, 0)) for run_id in ordered}


def store_heads(connection: Connection, table: Table, heads: Iterable[Head]) -> None:
    """Store the heads that have advanced."""
    rows = [(head.run_id, head.sequence) for head in heads if head.changed]
    upsert_rows(connection, table, ("run_id", "sequence"), rows)


def read_heads(connection: Connection, table: Table, run_ids: Sequence[str]) -> dict[str, int]:
    """Return the latest sequences of runs, without a lock."""
    return _read(connection, _selecting(table), run_ids)


def _read(
    connection: Connection, query: Select[Any, Any], run_ids: Sequence[str]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(run_ids), _RUNS_A_QUERY):
        some = {"run_ids": run_ids[start : start + _RUNS_A_QUERY]}
        found.update((row[0], row[1]) for row in connection.execute(query, some))
    return found


@lru_cache(maxsize=64)
def _selecting(table: Table) -> Select[Any, Any]:
    some = table.c.run_id.in_(bindparam("run_ids", expanding=True))
    return select(table.c.run_id, table.c.sequence).where(some)


@lru_cache(maxsize=64)
def _locking(table: Table) -> Select[Any, Any]:
    return _selecting(table).order_by(table.c.run_id).with_for_update()
