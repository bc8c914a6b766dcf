"""Chunks as rows: made for storing, and read back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, cast

import numpy as np
from sqlalchemy import Connection, Executable, select

from trackside_journal import chunks
from trackside_journal.chunks import Chunk, PointColumns
from trackside_metrics.blocks import Columns
from trackside_metrics.summaries import Summary, are_ordered, summarize
from trackside_metrics.tables import CHUNK, GROWING, NO_SERIES, SETTLED, SMALL

SETTLED_POINTS: Final = 1000
"""A block of so many points is a chunk that is large enough."""

Row = dict[str, object]

_BLOB: Final = (
    CHUNK.c.series_id,
    CHUNK.c.first_sequence,
    CHUNK.c.last_sequence,
    CHUNK.c.points,
    CHUNK.c.late,
    CHUNK.c.codec,
    CHUNK.c.checksum,
    CHUNK.c.blob,
)


@dataclass(frozen=True, slots=True)
class Span:
    """What the rows of one region, or of one batch, have in common."""

    run_id: str
    first: int
    last: int
    late: bool


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A row with its blob."""

    series_id: int
    first: int
    last: int
    points: int
    late: bool
    chunk: Chunk

    @property
    def is_small(self) -> bool:
        """Whether it is a row of small blocks, of no series."""
        return self.series_id == NO_SERIES

    def fragment(self) -> bytes:
        """Return the blocks of a row of small blocks, encoded for watchers.

        Raises:
            ChunkCorruptError: The stored bytes are not what was stored.
        """
        return chunks.unpack(self.chunk, first=self.first, last=self.last)

    def blocks(self) -> PointColumns:
        """Return the points of a columnar chunk, with the blocks they belong to.

        Raises:
            ChunkCorruptError: The stored bytes are not what was stored.
        """
        return chunks.unpack_points(self.chunk, first=self.first, last=self.last)

    def columns(self) -> Columns:
        """Return the points of a columnar chunk.

        Raises:
            ChunkCorruptError: The stored bytes are not what was stored.
        """
        return Columns(*chunks.unpack_bare_points(self.chunk, first=self.first, last=self.last))


@dataclass(slots=True)
class Packed:
    """A columnar chunk that is to be stored, of a series that may not be known yet."""

    span: Span
    level: int
    summary: Summary
    is_ordered: bool
    chunk: Chunk

    @property
    def is_settled(self) -> bool:
        """Whether it is large enough to stay as it is."""
        return self.level == SETTLED

    def row(self, series_id: int) -> Row:
        """Return the row."""
        return {
            **self.summary.row(),
            **_common(self.span, self.chunk),
            "series_id": series_id,
            "level": self.level,
            "is_ordered": self.is_ordered,
        }


def pack_block(span: Span, columns: Columns) -> Packed:
    """Return the chunk of one large block."""
    count = len(columns.steps)
    level = SETTLED if count >= SETTLED_POINTS else GROWING
    return pack(span, level, PointColumns(np.array((span.first,)), np.array((count,)), *columns))


def pack(span: Span, level: int, points: PointColumns) -> Packed:
    """Return the chunk of one series in a region."""
    is_ordered = are_ordered(points.steps, points.times)
    summary = summarize(points, is_ordered=is_ordered)
    return Packed(span, level, summary, is_ordered, chunks.pack_points(points))


def small_row(span: Span, points: int, fragment: bytes) -> Row:
    """Return the row of a batch of small blocks."""
    row: Row = dict(_EMPTY)
    row.update(_common(span, chunks.pack(fragment)))
    row["series_id"] = NO_SERIES
    row["level"] = SMALL
    row["points"] = points
    return row


def read_chunks(connection: Connection, *conditions: Any) -> list[StoredChunk]:  # noqa: ANN401 - SQL
    """Return chunks with their blobs, in order of sequence, then series."""
    query = select(*_BLOB).where(*conditions)
    query = query.order_by(CHUNK.c.last_sequence, CHUNK.c.series_id)
    return [
        StoredChunk(series_id, first, last, points, late, Chunk(codec, checksum, blob))
        for series_id, first, last, points, late, codec, checksum, blob in fetch(connection, query)
    ]


def fetch(
    connection: Connection, query: Executable, parameters: Mapping[str, object] | None = None
) -> Iterable[Any]:
    """Return the rows of a query, to be taken apart."""
    return cast("Iterable[Any]", connection.execute(query, parameters))


def insert_chunks(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert rows, by the driver itself: it is what ingest does most."""
    if rows:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        marks = ",".join((mark,) * len(_NAMES))
        statement = f"insert into chunk ({','.join(_NAMES)}) values ({marks})"  # noqa: S608 - our own names
        connection.exec_driver_sql(statement, list(map(_VALUES, rows)))


def _common(span: Span, chunk: Chunk) -> Row:
    return {
        "run_id": span.run_id,
        "first_sequence": span.first,
        "last_sequence": span.last,
        "late": span.late,
        "codec": chunk.codec,
        "checksum": chunk.checksum,
        "blob": chunk.blob,
    }


_NAMES: Final = tuple(column.name for column in CHUNK.c)
_VALUES: Final = cast("Callable[[Row], tuple[object, ...]]", itemgetter(*_NAMES))
_EMPTY: Final[Row] = {column.name: None for column in CHUNK.c}
