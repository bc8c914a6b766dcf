"""A merge: the chunks that take the place of others, worked out beforehand, done if still valid."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.sql import ColumnElement

from trackside_metrics.identities import Identity
from trackside_metrics.register import Addition, Additions, SeriesRegister
from trackside_metrics.rows import Packed, insert_chunks
from trackside_metrics.summaries import Summary
from trackside_metrics.tables import CHUNK


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Tells whether the rows of a range are still the same: no other merge adds rows to it."""

    rows: int
    checksums: int


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new chunk."""

    identity: Identity
    packed: Packed
    uncounted: Summary | None
    """The figures of those of its points that its series does not count yet."""


@dataclass(frozen=True, slots=True)
class Merge:
    """A work for the committer: replace all rows of a range of sequences."""

    run_id: str
    first: int
    last: int
    expected: Fingerprint
    replacements: Sequence[Replacement]


def fingerprint(connection: Connection, run_id: str, first: int, last: int) -> Fingerprint:
    """Return what tells whether the rows of a range are the same."""
    rows, checksums = connection.execute(
        select(func.count(), func.coalesce(func.sum(CHUNK.c.checksum), 0)).where(
            *_range(run_id, first, last)
        )
    ).one()
    return Fingerprint(rows, int(checksums))


def apply_merge(connection: Connection, merge: Merge, register: SeriesRegister) -> bool:
    """Replace the rows, unless they have changed; the run's head must be locked."""
    found = fingerprint(connection, merge.run_id, merge.first, merge.last)
    if found != merge.expected:
        return False
    additions: Additions = {}
    for new in merge.replacements:
        addition = additions.setdefault(new.identity.digest, Addition(new.identity))
        if new.uncounted is not None:
            addition.add(new.uncounted)
    numbers = register.add_points(connection, {merge.run_id: additions})[merge.run_id]
    # The old rows go first, so that the new ones take their room in the file.
    connection.execute(CHUNK.delete().where(*_range(merge.run_id, merge.first, merge.last)))
    rows = [new.packed.row(numbers[new.identity.digest]) for new in merge.replacements]
    insert_chunks(connection, rows)
    return True


def _range(run_id: str, first: int, last: int) -> tuple[ColumnElement[bool], ...]:
    return (CHUNK.c.run_id == run_id, CHUNK.c.last_sequence.between(first, last))
