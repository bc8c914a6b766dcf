"""Which chunks to merge with which: rules on what stands beside the blobs, and nothing else.

A region is what shares a range of sequences: a row of small blocks, a large block, or the
chunks of an earlier merge. Neighbouring regions are joined until the longest series has about
`CHUNK_POINTS` points, and all have `MEAN_POINTS` on average, or all together have
`REGION_POINTS`: then the result stays as it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, func, select

from trackside_metrics.tables import CHUNK, GROWING, IS_UNSETTLED, NO_SERIES, SETTLED, SMALL

CHUNK_POINTS: Final = 5000
"""How many points of a series a chunk is to have."""

MEAN_POINTS: Final = 1000
"""How many points the chunks of a region are to have on average: one series that has many
must not leave the others with next to none in each chunk."""

REGION_POINTS: Final = 250_000
"""How many points a region may have: a watch holds them all to send them in order."""

ENOUGH_ROWS: Final = 448
"""So many rows of small blocks are worth merging. Chunks of so many points of regular steps
fill a page of SQLite well."""

ENOUGH_POINTS: Final = 100_000
"""So are rows with so many points."""

FEW_ROWS: Final = 16
"""Fewer rows of small blocks are left as they are even when nothing more comes."""

_ROWS_A_PLAN: Final = 20_000


@dataclass(slots=True)
class Region:
    """What shares a range of sequences."""

    first: int
    last: int
    late: bool
    level: int
    points: int = 0
    rows: int = 0
    largest: dict[int, int] = field(default_factory=dict[int, int])
    """How many points each series has; nothing for small blocks."""

    def add(self, series_id: int, points: int) -> None:
        """Add a row."""
        self.rows += 1
        self.points += points
        if series_id != NO_SERIES:
            self.largest[series_id] = self.largest.get(series_id, 0) + points


@dataclass(slots=True)
class Group:
    """Neighbouring regions that are to be merged."""

    regions: list[Region]
    is_full: bool
    """Whether the result stays as it is."""

    @property
    def first(self) -> int:
        """The first sequence."""
        return self.regions[0].first

    @property
    def last(self) -> int:
        """The last sequence."""
        return self.regions[-1].last


@dataclass(slots=True)
class _Open:
    regions: list[Region] = field(default_factory=list[Region])
    points: int = 0
    series: dict[int, int] = field(default_factory=dict[int, int])
    largest: int = 0

    def add(self, region: Region) -> None:
        self.regions.append(region)
        self.points += region.points
        for series_id, points in region.largest.items():
            total = self.series.get(series_id, 0) + points
            self.series[series_id] = total
            self.largest = max(self.largest, total)

    def has_no_room_for(self, region: Region) -> bool:
        return (
            (self.largest >= CHUNK_POINTS and self.points >= MEAN_POINTS * len(self.series))
            or self.points + region.points > REGION_POINTS
            or self.regions[0].late != region.late
        )

    def trimmed(self) -> list[Region]:
        """Return the regions up to the last that is not settled."""
        end = len(self.regions)
        while self.regions[end - 1].level == SETTLED:
            end -= 1
        return self.regions[:end]


def read_regions(connection: Connection, run_id: str) -> list[Region]:
    """Return a run's regions in order, from the first that is not settled."""
    start = connection.execute(
        select(func.min(CHUNK.c.last_sequence)).where(CHUNK.c.run_id == run_id, IS_UNSETTLED)
    ).scalar()
    if start is None:
        return []
    c = CHUNK.c
    rows = connection.execute(
        select(c.first_sequence, c.last_sequence, c.late, c.level, c.series_id, c.points)
        .where(c.run_id == run_id, c.last_sequence >= start)
        .order_by(c.last_sequence)
        .limit(_ROWS_A_PLAN)
    ).all()
    regions: list[Region] = []
    for first, last, late, level, series_id, points in rows:
        if not regions or regions[-1].last != last:
            regions.append(Region(first, last, bool(late), level))
        regions[-1].add(series_id, points)
    if len(rows) == _ROWS_A_PLAN:
        regions.pop()  # it may not be whole
    return regions


def plan(
    regions: Iterable[Region], *, barriers: frozenset[int], enough: int, is_final: bool
) -> Iterator[Group]:
    """Yield what to merge.

    Args:
        regions: A run's, in order.
        barriers: The last sequences of regions that cannot be read, to be left alone.
        enough: How many rows of small blocks at the end are worth merging already.
        is_final: Whether nothing more is expected.
    """
    open_group = _Open()
    for region in regions:
        is_barrier = region.last in barriers
        if open_group.regions and (is_barrier or open_group.has_no_room_for(region)):
            yield Group(open_group.trimmed(), is_full=True)
            open_group = _Open()
        if not is_barrier and (open_group.regions or region.level != SETTLED):
            open_group.add(region)
    if open_group.regions:
        yield from _rest(open_group.trimmed(), enough=enough, is_final=is_final)


def _rest(regions: Sequence[Region], *, enough: int, is_final: bool) -> Iterator[Group]:
    small = [index for index, region in enumerate(regions) if region.level == SMALL]
    growing = sum(region.level == GROWING for region in regions)
    if is_final and (len(small) >= FEW_ROWS or growing > 1):
        yield Group(list(regions), is_full=True)
    elif not is_final and small:
        points = sum(regions[index].points for index in small)
        if len(small) >= enough or points >= ENOUGH_POINTS:
            yield Group(list(regions[small[0] : small[-1] + 1]), is_full=False)
