"""Answering queries of points: which series, which of their chunks, and what is made of them."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, TextClause, select

from trackside_journal.chunks import Floats, Ints, PointColumns
from trackside_metrics.answers import Answer
from trackside_metrics.blocks import Columns
from trackside_metrics.buckets import (
    Cut,
    Records,
    concatenate,
    cut,
    join_records,
    places_of,
    reduce_points,
    sort_by,
)
from trackside_metrics.identities import Identities, Identity
from trackside_metrics.questions import Question
from trackside_metrics.rows import fetch, read_chunks
from trackside_metrics.snapshots import begin_snapshot
from trackside_metrics.summaries import SUMMARY_COLUMNS, Summary, summary_of_row
from trackside_metrics.tables import CHUNK, IS_COLUMNAR, SERIES
from trackside_metrics.tail import read_tail
from trackside_serving.errors import TooManyItemsError

SERIES_LIMIT: Final = 100
POINT_LIMIT: Final = 2_000_000

_CHUNKS_A_QUERY: Final = 128
_NO_POINTS: Final = Columns(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
_FIGURES: Final = tuple(CHUNK.c[name] for name in SUMMARY_COLUMNS)


@dataclass(slots=True)
class _Series:
    """A series that is wanted."""

    identity: Identity
    number: int | None = None
    """None: it has no chunks yet."""
    tail: PointColumns | None = None


class _ChunkFigures(NamedTuple):
    """What stands beside a chunk's blob."""

    last_sequence: int
    is_ordered: bool
    summary: Summary


class _Lot(NamedTuple):
    """Points, and when they were stored, as far as other lots compare."""

    order: int
    points: Columns


@dataclass(slots=True)
class _Found:
    """The wanted points of one series: chunks that are wanted whole, and points of others."""

    whole: list[_ChunkFigures] = field(default_factory=list[_ChunkFigures])
    lots: list[_Lot] = field(default_factory=list[_Lot])

    @property
    def count(self) -> int:
        return sum(chunk.summary.points for chunk in self.whole) + sum(
            len(lot.points.steps) for lot in self.lots
        )

    def bounds(self, *, by_time: bool) -> tuple[int, int]:
        """Return the lowest and the highest place on an axis."""
        figures = [chunk.summary for chunk in self.whole]
        places = [places_of(lot.points, by_time=by_time) for lot in self.lots]
        lowest = [int(some.min()) for some in places]
        lowest += [one.time_min if by_time else one.step_min for one in figures]
        highest = [int(some.max()) for some in places]
        highest += [one.time_max if by_time else one.step_max for one in figures]
        return min(lowest), max(highest)


def answer(connection: Connection, question: Question, identities: Identities) -> bytes:
    """Return the encoded `QueryPointsResponse`.

    Raises:
        TooManyItemsError: Too many series match, or too many points are asked for.
        ChunkCorruptError: A chunk that is needed is not what was stored.
    """
    begin_snapshot(connection)
    encoded = Answer()
    left = POINT_LIMIT
    for series in _wanted_series(connection, question, identities):
        query = _SeriesQuery(connection, question, series)
        found = query.find()
        if question.max_buckets and found.count > question.max_buckets:
            encoded.add_buckets(series.identity, query.reduce(found))
            continue
        left -= found.count
        if left < 0:
            message = f"More than {POINT_LIMIT:,} points match; ask for buckets or a shorter range."
            raise TooManyItemsError(message, metadata={"limit": str(POINT_LIMIT)})
        encoded.add_points(series.identity, query.read(found))
    return encoded.encode()


def _wanted_series(
    connection: Connection, question: Question, identities: Identities
) -> Sequence[_Series]:
    selection = question.selection
    found: dict[bytes, _Series] = {}
    for identity, points, _ in read_tail(
        connection, question.run_id, identities, selection.wants
    ).by_series():
        found[identity.digest] = _Series(identity, tail=points)
    rows = connection.execute(
        select(SERIES.c.series_id, SERIES.c.key, SERIES.c.context).where(
            SERIES.c.run_id == question.run_id, *selection.conditions()
        )
    )
    for number, key, context in rows:
        identity = identities.stored(key, context)
        if selection.wants(identity):
            found.setdefault(identity.digest, _Series(identity)).number = number
        if len(found) > SERIES_LIMIT:
            break
    if len(found) > SERIES_LIMIT:
        message = f"More than {SERIES_LIMIT} series match."
        raise TooManyItemsError(message, metadata={"limit": str(SERIES_LIMIT)})
    return sorted(found.values(), key=lambda series: series.identity.order)


@dataclass(slots=True)
class _SeriesQuery:
    """A query of one series."""

    connection: Connection
    question: Question
    series: _Series

    def find(self) -> _Found:
        """Return which points are wanted. Reads only the chunks that are wanted in part."""
        found = _Found()
        wanted = self.question.range
        figures = list(self._figures())
        for chunk in figures:
            if wanted.holds(chunk.summary):
                found.whole.append(chunk)
        whole = {chunk.last_sequence for chunk in found.whole}
        in_part = [chunk.last_sequence for chunk in figures if chunk.last_sequence not in whole]
        lots = [lot for some in self._read_lots(in_part) for lot in some]
        if self.series.tail is not None:
            lots += _cut_tail(self.series.tail, [chunk.last_sequence for chunk in figures])
        picked = [_Lot(order, wanted.pick(points)) for order, points in lots]
        found.lots = sorted((lot for lot in picked if len(lot.points.steps)), key=_order)
        return found

    def read(self, found: _Found) -> Columns:
        """Return the points in order of the axis."""
        numbers = [chunk.last_sequence for chunk in found.whole]
        lots = [*found.lots, *(lot for some in self._read_lots(numbers) for lot in some)]
        if not lots:
            return _NO_POINTS
        points = concatenate([lot.points for lot in sorted(lots, key=_order)])
        return sort_by(places_of(points, by_time=self.question.by_time), points)[0]

    def reduce(self, found: _Found) -> Records:
        """Return the buckets. Reads the chunks that do not lie in one of them."""
        low, high = found.bounds(by_time=self.question.by_time)
        axis = cut(low, high, self.question.max_buckets)
        inside = [chunk for chunk in found.whole if self._is_inside(chunk, axis)]
        inside_numbers = {chunk.last_sequence for chunk in inside}
        across = [
            chunk.last_sequence
            for chunk in found.whole
            if chunk.last_sequence not in inside_numbers
        ]
        records = [self._reduce_lots(lots, axis) for lots in self._read_lots(across)]
        if found.lots:
            records.append(self._reduce_lots(found.lots, axis))
        if inside:
            records.append(_records_of(inside, axis, by_time=self.question.by_time))
        return join_records(records)

    def _reduce_lots(self, lots: Sequence[_Lot], axis: Cut) -> Records:
        points, orders = [lot.points for lot in lots], [lot.order for lot in lots]
        return reduce_points(points, orders, axis, by_time=self.question.by_time)

    def _is_inside(self, chunk: _ChunkFigures, axis: Cut) -> bool:
        """Whether a chunk lies in one bucket, and its last point is that of the axis too."""
        summary = chunk.summary
        if not self.question.by_time:
            return axis.bucket_of(summary.step_min) == axis.bucket_of(summary.step_max)
        return chunk.is_ordered and axis.bucket_of(summary.time_min) == axis.bucket_of(
            summary.time_max
        )

    def _figures(self) -> Iterator[_ChunkFigures]:
        if self.series.number is None:
            return
        c = CHUNK.c
        query = (
            select(c.last_sequence, c.is_ordered, *_FIGURES)
            .where(*self._chunks(), *self.question.range.conditions())
            .order_by(c.last_sequence)
        )
        for last_sequence, is_ordered, *figures in fetch(self.connection, query):
            yield _ChunkFigures(last_sequence, bool(is_ordered), summary_of_row(figures))

    def _read_lots(self, numbers: Sequence[int]) -> Iterator[list[_Lot]]:
        """Yield the points of chunks, some chunks at a time, in order."""
        for start in range(0, len(numbers), _CHUNKS_A_QUERY):
            some = numbers[start : start + _CHUNKS_A_QUERY]
            rows = read_chunks(self.connection, *self._chunks(), CHUNK.c.last_sequence.in_(some))
            yield [_Lot(row.last, row.columns()) for row in rows]

    def _chunks(self) -> tuple[ColumnElement[bool] | TextClause, ...]:
        c = CHUNK.c
        return (
            c.run_id == self.question.run_id,
            c.series_id == self.series.number,
            IS_COLUMNAR,
        )


def _cut_tail(tail: PointColumns, chunks: Sequence[int]) -> Iterator[_Lot]:
    """Yield the points of small blocks, apart where a chunk was stored between them."""
    place = np.searchsorted(np.array(chunks, np.int64), tail.sequences)
    ends = np.cumsum(tail.sizes)
    bounds = [0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), len(place)]
    for start, end in itertools.pairwise(bounds):
        points = slice(int(ends[start] - tail.sizes[start]), int(ends[end - 1]))
        columns = Columns(tail.steps[points], tail.times[points], tail.values[points])
        yield _Lot(int(tail.sequences[start]), columns)


def _records_of(chunks: Sequence[_ChunkFigures], axis: Cut, *, by_time: bool) -> Records:
    """Return the records of chunks that lie in one bucket each."""
    figures = [chunk.summary for chunk in chunks]

    def integers(values: Iterable[int]) -> Ints:
        return np.fromiter(values, np.int64, len(chunks))

    def floats(values: Iterable[float]) -> Floats:
        return np.fromiter(values, np.float64, len(chunks))

    places = integers(one.last_time if by_time else one.last_step for one in figures)
    return Records(
        bucket=axis.buckets_of(places),
        first_step=integers(one.step_min for one in figures),
        last_step=integers(one.step_max for one in figures),
        first_time=integers(one.time_min for one in figures),
        last_time=integers(one.time_max for one in figures),
        count=integers(one.points for one in figures),
        nan_count=integers(one.nan_count for one in figures),
        minimum=floats(one.value_min for one in figures),
        maximum=floats(one.value_max for one in figures),
        total=floats(one.value_sum for one in figures),
        last=floats(one.last_value for one in figures),
        last_place=places,
        last_order=integers(chunk.last_sequence for chunk in chunks),
    )


def _order(lot: _Lot) -> int:
    return lot.order
