"""Reading chunks in order, from a position on or backward from one, whatever is merged meanwhile.

Every statement finds its place anew by sequence, so merging between two of them changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select

from trackside_journal.chunks import Chunk, unpack
from trackside_journal.errors import ChunkCorruptError
from trackside_journal.heads import read_heads
from trackside_logs.blocks import Part
from trackside_logs.filters import EntryFilter
from trackside_logs.tables import CHUNK, HEAD

_FIRST_CHUNKS: Final = 4
_MOST_CHUNKS: Final = 512
_BYTES_A_QUERY: Final = 512 << 10

_COLUMNS: Final = CHUNK.c
_STORED: Final = (
    _COLUMNS.first_sequence,
    _COLUMNS.last_sequence,
    _COLUMNS.codec,
    _COLUMNS.checksum,
    _COLUMNS.blob,
)


_Query = Select[Any, Any, Any, Any, Any]


def latest_sequence(connection: Connection, run_id: str) -> int:
    """Return the sequence of a run's latest entry; 0 when it has none."""
    return read_heads(connection, HEAD, [run_id]).get(run_id, 0)


def parts_after(
    connection: Connection, run_id: str, after: int, through: int, wanted: EntryFilter
) -> Iterator[Part]:
    """Yield the chunks that may have wanted entries after one sequence, up to another.

    The first and the last may reach beyond the range.

    Raises:
        ChunkCorruptError: What comes next is damaged or missing; everything before was yielded.
    """
    position, limit = after, _FIRST_CHUNKS
    while position < through:
        rows = connection.execute(_forward(run_id, position, through, wanted).limit(limit)).all()
        for row in rows:
            if not wanted and row.first_sequence > position + 1:
                raise ChunkCorruptError(first=position + 1, last=row.first_sequence - 1)
            yield _part(row)
            position = row.last_sequence
        if len(rows) < limit:
            break
        limit = _next_limit(rows)
    if not wanted and position < through:
        raise ChunkCorruptError(first=position + 1, last=through)


def parts_before(
    connection: Connection, run_id: str, before: int, after: int, wanted: EntryFilter
) -> Iterator[Part]:
    """Yield the chunks that may have wanted entries before one sequence, back to after another.

    Raises:
        ChunkCorruptError: What comes next is damaged or missing; everything after was yielded.
    """
    position, limit = before, _FIRST_CHUNKS
    while position > after + 1:
        rows = connection.execute(_backward(run_id, position, after, wanted).limit(limit)).all()
        for row in rows:
            if not wanted and row.last_sequence < position - 1:
                raise ChunkCorruptError(first=row.last_sequence + 1, last=position - 1)
            yield _part(row)
            position = row.first_sequence
        if len(rows) < limit:
            break
        limit = _next_limit(rows)
    if not wanted and position > after + 1:
        raise ChunkCorruptError(first=after + 1, last=position - 1)


def _forward(run_id: str, after: int, through: int, wanted: EntryFilter) -> _Query:
    # The chunk that holds the next entry may begin before it: one step back in the index.
    begin = (
        select(func.max(_COLUMNS.first_sequence))
        .where(_COLUMNS.run_id == run_id, _COLUMNS.first_sequence <= after + 1)
        .scalar_subquery()
    )
    return (
        select(*_STORED)
        .where(
            _COLUMNS.run_id == run_id,
            _COLUMNS.first_sequence >= func.coalesce(begin, 0),
            _COLUMNS.first_sequence <= through,
            _COLUMNS.last_sequence > after,
            *_conditions(wanted),
        )
        .order_by(_COLUMNS.first_sequence)
    )


def _backward(run_id: str, before: int, after: int, wanted: EntryFilter) -> _Query:
    return (
        select(*_STORED)
        .where(
            _COLUMNS.run_id == run_id,
            _COLUMNS.first_sequence < before,
            _COLUMNS.last_sequence > after,
            *_conditions(wanted),
        )
        .order_by(_COLUMNS.first_sequence.desc())
    )


def _conditions(wanted: EntryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.levels:
        conditions.append(_COLUMNS.levels.bitwise_and(wanted.level_mask) != 0)
    if wanted.start is not None:
        conditions.append(_COLUMNS.latest_second >= wanted.start[0])
    if wanted.end is not None:
        conditions.append(_COLUMNS.earliest_second <= wanted.end[0])
    return conditions


def _part(row: Any) -> Part:  # noqa: ANN401 - a row of the columns in _STORED
    first, last, codec, checksum, blob = row
    return Part(first, last, unpack(Chunk(codec, checksum, bytes(blob)), first=first, last=last))


def _next_limit(rows: Sequence[Any]) -> int:
    """Return how many chunks of the same size make a good next query."""
    size = sum(len(row.blob) for row in rows) // len(rows)
    return max(_FIRST_CHUNKS, min(_MOST_CHUNKS, _BYTES_A_QUERY // (size + 1)))
