"""Blocks of many series in order of sequence, as columns: what merging and reading work on."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trackside_journal.chunks import Floats, Ints, PointColumns
from trackside_metrics.blocks import (
    ONE_POINT_BYTES,
    Columns,
    decode_single_points,
    encode_columns,
    encode_single_points,
    envelop,
    find_layout,
    is_one_point,
    read_columns,
    split_bodies,
    tail_of,
)
from trackside_metrics.identities import Identities, Identity

Wanted = Callable[[Identity], bool]
"""Says whether blocks of a series are wanted."""

_UNWANTED: Final = -1


class SeriesPoints(NamedTuple):
    """The points of one series of a table."""

    identity: Identity
    points: PointColumns
    uncounted: PointColumns | None
    """Those that come from small blocks."""


@dataclass(frozen=True, slots=True)
class BlockTable:
    """Blocks in order of sequence."""

    identities: Sequence[Identity]
    series: Ints
    """The index of each block's identity."""
    sequences: Ints
    sizes: Ints
    is_small: npt.NDArray[np.bool_]
    """Whether a block comes from a row of small blocks."""
    starts: Ints
    """Where each block's points begin."""
    steps: Ints
    times: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def points(self) -> int:
        """How many points there are."""
        return len(self.steps)

    def part(self, start: int, end: int) -> "BlockTable":
        """Return the blocks from one index to before another."""
        blocks = slice(start, end)
        offset = int(self.starts[start]) if start < len(self) else self.points
        stop = int(self.starts[end]) if end < len(self) else self.points
        points = slice(offset, stop)
        return BlockTable(
            self.identities,
            self.series[blocks],
            self.sequences[blocks],
            self.sizes[blocks],
            self.is_small[blocks],
            self.starts[blocks] - offset,
            self.steps[points],
            self.times[points],
            self.values[points],
        )

    def by_series(self) -> Iterator[SeriesPoints]:
        """Yield the points of each series, in order of sequence."""
        order = np.argsort(self.series, kind="stable")
        series = self.series[order]
        bounds = [*np.flatnonzero(np.diff(series, prepend=-1)).tolist(), len(series)]
        for start, end in itertools.pairwise(bounds):
            chosen = order[start:end]
            small = self.is_small[chosen]
            points = self._take(chosen)
            uncounted = None
            if small.all():
                uncounted = points
            elif small.any():
                uncounted = self._take(chosen[small])
            yield SeriesPoints(self.identities[int(series[start])], points, uncounted)

    def fragments(self, *, is_late: bool) -> Iterator[tuple[int, bytes]]:
        """Yield each block's sequence and the block, encoded for watchers."""
        singles = encode_single_points(Columns(self.steps, self.times, self.values))
        prefixes = [identity.prefix for identity in self.identities]
        numbers = np.stack((self.series, self.sequences, self.sizes, self.starts), axis=1)
        blocks: list[list[int]] = numbers.tolist()
        for series, sequence, size, start in blocks:
            if size == 1:
                encoded = singles[start * ONE_POINT_BYTES : (start + 1) * ONE_POINT_BYTES]
            else:
                points = slice(start, start + size)
                columns = Columns(self.steps[points], self.times[points], self.values[points])
                encoded = encode_columns(columns)
            tail = tail_of(sequence, is_late=is_late)
            yield sequence, envelop(prefixes[series] + encoded + tail)

    def _take(self, blocks: Ints) -> PointColumns:
        chosen = _points_of(self.starts[blocks], self.sizes[blocks])
        return PointColumns(
            self.sequences[blocks],
            self.sizes[blocks],
            self.steps[chosen],
            self.times[chosen],
            self.values[chosen],
        )


class _Piece(NamedTuple):
    series: Ints
    sequences: Ints
    sizes: Ints
    is_small: bool
    columns: Columns


@dataclass(slots=True)
class BlockTableBuilder:
    """Puts a table together from rows of small blocks and from columnar chunks."""

    known: Identities
    wanted: Wanted | None = None
    _identities: list[Identity] = field(default_factory=list[Identity])
    _by_digest: dict[bytes, int] = field(default_factory=dict[bytes, int])
    _by_prefix: dict[bytes, int] = field(default_factory=dict[bytes, int])
    _pieces: list[_Piece] = field(default_factory=list[_Piece])

    def add_chunk(self, identity: Identity, points: PointColumns) -> None:
        """Add a columnar chunk."""
        series = np.full(len(points.sequences), self._index_of(identity), np.int64)
        columns = Columns(points.steps, points.times, points.values)
        self._pieces.append(
            _Piece(series, points.sequences, points.sizes, is_small=False, columns=columns)
        )

    def add_fragment(self, fragment: bytes, first_sequence: int, *, is_late: bool) -> None:
        """Add a row of small blocks."""
        bodies = split_bodies(fragment, first_sequence, is_late=is_late)
        numbers = self._by_prefix
        single_series: list[int] = []
        single_sequences: list[int] = []
        singles: list[bytes] = []
        for sequence, body in enumerate(bodies, first_sequence):
            series = numbers.get(body[:-ONE_POINT_BYTES])
            if series is None or not is_one_point(body):
                self._add_body(body, sequence)
            elif series != _UNWANTED:
                single_series.append(series)
                single_sequences.append(sequence)
                singles.append(body[-ONE_POINT_BYTES:])
        if singles:
            self._add_small(
                single_series, single_sequences, [1] * len(singles), decode_single_points(singles)
            )

    def build(self) -> BlockTable:
        """Return the table."""
        pieces = self._pieces
        if not pieces:
            return _empty()
        sequences = np.concatenate([piece.sequences for piece in pieces])
        sizes = np.concatenate([piece.sizes for piece in pieces])
        order = np.argsort(sequences, kind="stable")
        chosen = _points_of((np.cumsum(sizes) - sizes)[order], sizes[order])
        sizes = sizes[order]
        small = np.concatenate([np.full(len(p.sizes), p.is_small) for p in pieces])
        return BlockTable(
            self._identities,
            np.concatenate([piece.series for piece in pieces])[order],
            sequences[order],
            sizes,
            small[order],
            np.cumsum(sizes) - sizes,
            np.concatenate([piece.columns.steps for piece in pieces])[chosen],
            np.concatenate([piece.columns.times for piece in pieces])[chosen],
            np.concatenate([piece.columns.values for piece in pieces])[chosen],
        )

    def _add_body(self, body: bytes, sequence: int) -> None:
        layout = find_layout(body)
        assert layout is not None, "what is stored is canonical"
        prefix = body[: layout.prefix]
        series = self._by_prefix.get(prefix)
        if series is None:
            series = self._by_prefix[prefix] = self._number_of(prefix)
        if series != _UNWANTED:
            self._add_small([series], [sequence], [layout.points], read_columns(body, layout))

    def _add_small(
        self, series: list[int], sequences: list[int], sizes: list[int], columns: Columns
    ) -> None:
        self._pieces.append(
            _Piece(
                np.array(series, np.int64),
                np.array(sequences, np.int64),
                np.array(sizes, np.int64),
                is_small=True,
                columns=columns,
            )
        )

    def _number_of(self, prefix: bytes) -> int:
        identity = self.known.of(prefix)
        assert identity is not None, "what is stored was checked"
        if self.wanted is not None and not self.wanted(identity):
            return _UNWANTED
        return self._index_of(identity)

    def _index_of(self, identity: Identity) -> int:
        index = self._by_digest.get(identity.digest)
        if index is None:
            index = self._by_digest[identity.digest] = len(self._identities)
            self._identities.append(identity)
        return index


def _points_of(starts: Ints, sizes: Ints) -> Ints:
    """Return the indexes of the points of blocks that begin at `starts`."""
    if len(sizes) == 0 or sizes.max() == 1:
        return starts
    ends = np.cumsum(sizes)
    return np.arange(int(ends[-1])) + np.repeat(starts - (ends - sizes), sizes)


def _empty() -> BlockTable:
    integers = np.empty(0, np.int64)
    return BlockTable(
        (),
        integers,
        integers,
        integers,
        np.empty(0, np.bool_),
        integers,
        integers,
        integers,
        np.empty(0, np.float64),
    )
