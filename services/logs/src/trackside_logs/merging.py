"""Merging small chunks into larger ones, in the background, with every sequence kept.

A reader's thread looks for neighbours, joins their contents and compresses them; the committer
only checks that they are still there and exchanges rows. So a merge costs ingest next to
nothing, and of two replicas that merge the same chunks one finds that it was done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from trackside_journal.chunks import Chunk, unpack
from trackside_journal.errors import ChunkCorruptError
from trackside_logs.appending import Content
from trackside_logs.reading import latest_sequence
from trackside_logs.tables import CHUNK

_LOOKED_AT: Final = 512
_MERGED_AT_ONCE: Final = 8
_TAIL_CHUNKS: Final = 16
"""How many small chunks at a run's end are worth joining though more may follow."""

_COLUMNS: Final = CHUNK.c


@dataclass(frozen=True, slots=True)
class MergeWork:
    """A work for the committer: exchange chunks for one that holds the same."""

    run_id: str
    replaced: Sequence[tuple[int, int, int]]
    """The first and last sequence and the checksum of each; nothing is done if one is gone."""
    row: Mapping[str, Any] | None
    """The new chunk; None: the old ones stay, and are not looked at again."""


@dataclass(slots=True)
class MergePlan:
    """What there is to merge in one run."""

    works: list[MergeWork] = field(default_factory=list[MergeWork])
    small_count: int = 0
    """How many small chunks will be left."""


def plan_merges(connection: Connection, run_id: str, *, final: bool) -> MergePlan:
    """Return merges of a run's small chunks, with their new contents.

    Args:
        connection: Reads only.
        run_id: Which run.
        final: Whether the run has ended, so that its last chunks will get no neighbours.
    """
    found = connection.execute(
        select(
            _COLUMNS.first_sequence,
            _COLUMNS.last_sequence,
            _COLUMNS.size,
            _COLUMNS.checksum,
        )
        .where(_COLUMNS.run_id == run_id, _COLUMNS.mergeable)
        .order_by(_COLUMNS.first_sequence)
        .limit(_LOOKED_AT)
    ).all()
    is_cut = len(found) == _LOOKED_AT
    bins = list(_bins(found))
    plan = MergePlan(small_count=len(found))
    head = latest_sequence(connection, run_id)
    if is_cut and len(bins) > 1:
        bins.pop()  # its neighbours were not looked at
    for group in islice(bins, _MERGED_AT_ONCE):
        may_grow = not final and not is_cut and group[-1].last_sequence == head
        work, left = _plan_group(connection, run_id, group, may_grow=may_grow)
        plan.small_count -= len(group) - left
        if work is not None:
            plan.works.append(work)
    return plan


def merge(connection: Connection, work: MergeWork) -> bool:
    """Exchange the chunks, if all are still there; the run's head must be locked before."""
    firsts = [first for first, _, _ in work.replaced]
    which = (_COLUMNS.run_id == work.run_id, _COLUMNS.first_sequence.in_(firsts))
    found = connection.execute(
        select(_COLUMNS.first_sequence, _COLUMNS.last_sequence, _COLUMNS.checksum)
        .where(*which)
        .order_by(_COLUMNS.first_sequence)
    ).all()
    if [tuple(row) for row in found] != list(work.replaced):
        return False
    if work.row is None:
        connection.execute(update(CHUNK).where(*which).values(mergeable=False))
    else:
        connection.execute(delete(CHUNK).where(*which))
        connection.execute(insert(CHUNK), [work.row])
    return True


def _bins(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield groups of neighbours that make a chunk of a good size."""
    group: list[Any] = []
    content = Content(0, 0)
    for row in rows:
        lines = row.last_sequence - row.first_sequence + 1
        is_next = bool(group) and row.first_sequence == content.last + 1
        if not is_next or not content.has_room(row.size, lines):
            if group:
                yield group
            group, content = [], Content(row.first_sequence, row.first_sequence - 1)
        group.append(row)
        content.last = row.last_sequence
        content.size += row.size
    if group:
        yield group


def _plan_group(
    connection: Connection, run_id: str, group: Sequence[Any], *, may_grow: bool
) -> tuple[MergeWork | None, int]:
    """Return the merge of a group, if it is worth it, and how many small chunks it leaves."""
    replaced = [(row.first_sequence, row.last_sequence, row.checksum) for row in group]
    content = Content(replaced[0][0], replaced[-1][1], size=sum(row.size for row in group))
    may_grow &= content.is_small
    if may_grow and len(group) < _TAIL_CHUNKS:
        return None, len(group)
    if len(group) == 1:
        return MergeWork(run_id, replaced, None), 0
    content.size = 0
    damaged = _load(connection, run_id, content)
    if damaged is not None:
        kept = [entry for entry in replaced if entry[0] == damaged]
        return MergeWork(run_id, kept, None), len(group) - 1
    return MergeWork(run_id, replaced, content.row(run_id, mergeable=may_grow)), int(may_grow)


def _load(connection: Connection, run_id: str, content: Content) -> int | None:
    """Join the stored chunks of a range; return the first sequence of one that is damaged."""
    rows = connection.execute(
        select(CHUNK)
        .where(
            _COLUMNS.run_id == run_id,
            _COLUMNS.first_sequence >= content.first,
            _COLUMNS.last_sequence <= content.last,
        )
        .order_by(_COLUMNS.first_sequence)
    )
    for row in rows:
        chunk = Chunk(row.codec, row.checksum, bytes(row.blob))
        try:
            content.add(
                row.last_sequence, unpack(chunk, first=row.first_sequence, last=row.last_sequence)
            )
        except ChunkCorruptError:
            return int(row.first_sequence)
        content.note(row.levels, row.earliest_second, row.latest_second)
    return None
