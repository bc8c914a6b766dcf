"""Buckets: points reduced to figures of equal spans of steps or of time. Only arrays in here.

Points come in several lots, and whole chunks by their figures; each lot is reduced to one
record for each bucket it touches, and all records of a bucket are joined in the end. So the
points of a whole series are never in memory together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from trackside_journal.chunks import Floats, Ints
from trackside_metrics.blocks import Columns

_WORDS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Records:
    """Figures of points, column by column; several records may be of one bucket."""

    bucket: Ints
    first_step: Ints
    last_step: Ints
    first_time: Ints
    last_time: Ints
    count: Ints
    nan_count: Ints
    minimum: Floats
    """NaN when all values are."""
    maximum: Floats
    total: Floats
    """Of the values that are not NaN."""
    last: Floats
    """The value of the last point: the highest on the axis, of several the one stored last."""
    last_place: Ints
    """Where that point is on the axis."""
    last_order: Ints
    """When it was stored: compares with that of other lots."""

    @property
    def mean(self) -> Floats:
        """The means; NaN where all values are."""
        with np.errstate(all="ignore"):
            return self.total / (self.count - self.nan_count)


@dataclass(frozen=True, slots=True)
class Cut:
    """How an axis is cut into buckets: from `low` on, each `width` wide."""

    low: int
    width: int

    def bucket_of(self, place: int) -> int:
        """Return the bucket of a place."""
        return (place - self.low) // self.width

    def buckets_of(self, places: Ints) -> Ints:
        """Return the buckets of places, none below `low`."""
        if self.width >= _WORDS:
            return np.zeros(len(places), np.int64)
        # Unsigned arithmetic is modulo 2^64, so a span of more than 2^63 comes out right.
        distance = places.astype(np.uint64) - np.uint64(self.low % _WORDS)
        return (distance // np.uint64(self.width)).astype(np.int64)


def cut(low: int, high: int, buckets: int) -> Cut:
    """Return how to cut what lies between two places, both included, into at most so many."""
    return Cut(low, -(-(high - low + 1) // buckets))


def sort_by(places: Ints, columns: Columns) -> tuple[Columns, Ints | None]:
    """Return points in order of their places on an axis, and where each was before.

    Points of one place keep their order. None: they were in order.
    """
    if bool((places[1:] >= places[:-1]).all()):
        return columns, None
    order = np.argsort(places, kind="stable")
    return columns.take(order), order


def concatenate(lots: Sequence[Columns]) -> Columns:
    """Return points one after the other; there is at least one lot."""
    if len(lots) == 1:
        return lots[0]
    return Columns(
        np.concatenate([lot.steps for lot in lots]),
        np.concatenate([lot.times for lot in lots]),
        np.concatenate([lot.values for lot in lots]),
    )


def places_of(points: Columns, *, by_time: bool) -> Ints:
    """Return where points are on an axis."""
    return points.times if by_time else points.steps


def reduce_points(
    lots: Sequence[Columns], orders: Sequence[int], cut: Cut, *, by_time: bool
) -> Records:
    """Return one record for each bucket that has any of the points.

    Args:
        lots: Points in the order in which they were stored; at least one.
        orders: When each lot was stored.
        cut: How the axis is cut.
        by_time: Whether the axis is that of time.
    """
    joined = concatenate(lots)
    points, moved = sort_by(places_of(joined, by_time=by_time), joined)
    places = places_of(points, by_time=by_time)
    starts = _starts(places, cut)
    ends = np.append(starts[1:], len(places))
    before = ends - 1 if moved is None else moved[ends - 1]
    lot = np.searchsorted(np.cumsum([len(lot.steps) for lot in lots]), before, side="right")
    values = points.values
    is_nan = np.isnan(values)
    has_nan = bool(is_nan.any())
    with np.errstate(all="ignore"):
        return Records(
            bucket=cut.buckets_of(places[starts]),
            first_step=np.minimum.reduceat(points.steps, starts),
            last_step=np.maximum.reduceat(points.steps, starts),
            first_time=np.minimum.reduceat(points.times, starts),
            last_time=np.maximum.reduceat(points.times, starts),
            count=ends - starts,
            nan_count=(
                np.add.reduceat(is_nan.astype(np.int64), starts)
                if has_nan
                else np.zeros(len(starts), np.int64)
            ),
            minimum=(np.fmin if has_nan else np.minimum).reduceat(values, starts),
            maximum=(np.fmax if has_nan else np.maximum).reduceat(values, starts),
            total=np.add.reduceat(np.where(is_nan, 0.0, values) if has_nan else values, starts),
            last=values[ends - 1],
            last_place=places[ends - 1],
            last_order=np.asarray(orders, np.int64)[lot],
        )


def join_records(parts: Sequence[Records]) -> Records:
    """Return one record for each bucket, in order."""
    joined = Records(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Records)
        )
    )
    order = np.lexsort((joined.last_order, joined.last_place, joined.bucket))
    r = Records(*(getattr(joined, field.name)[order] for field in fields(Records)))
    starts = np.flatnonzero(np.diff(r.bucket, prepend=-1))
    ends = np.append(starts[1:], len(order)) - 1
    with np.errstate(all="ignore"):
        return Records(
            bucket=r.bucket[starts],
            first_step=np.minimum.reduceat(r.first_step, starts),
            last_step=np.maximum.reduceat(r.last_step, starts),
            first_time=np.minimum.reduceat(r.first_time, starts),
            last_time=np.maximum.reduceat(r.last_time, starts),
            count=np.add.reduceat(r.count, starts),
            nan_count=np.add.reduceat(r.nan_count, starts),
            minimum=np.fmin.reduceat(r.minimum, starts),
            maximum=np.fmax.reduceat(r.maximum, starts),
            total=np.add.reduceat(r.total, starts),
            last=r.last[ends],
            last_place=r.last_place[ends],
            last_order=r.last_order[ends],
        )


def _starts(places: Ints, cut: Cut) -> Ints:
    """Return where the points of each bucket begin, among points in order."""
    first, last = cut.bucket_of(int(places[0])), cut.bucket_of(int(places[-1]))
    later = np.arange(first + 1, last + 1, dtype=np.uint64)
    edges = later * np.uint64(cut.width % _WORDS) + np.uint64(cut.low % _WORDS)
    starts = np.searchsorted(places, edges.view(np.int64), side="left")
    # A bucket without points begins where the next one does.
    return np.unique(np.concatenate((np.zeros(1, np.int64), starts)))
