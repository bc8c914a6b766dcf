"""The stored blocks of a run in order of sequence, page by page: a watch's side of the store."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Final

import numpy as np
from sqlalchemy import Connection, select

from trackside_journal.errors import ChunkCorruptError
from trackside_journal.heads import read_heads
from trackside_journal.splice import Page
from trackside_metrics.block_table import BlockTable
from trackside_metrics.blocks import envelop, split
from trackside_metrics.identities import Identities
from trackside_metrics.regions import read_table
from trackside_metrics.rows import StoredChunk, read_chunks
from trackside_metrics.snapshots import begin_snapshot
from trackside_metrics.tables import CHUNK, HEAD

PAGE_BYTES: Final = 256 << 10
"""About how large a page is, and a block may be larger."""

_ROWS_A_LOOK: Final = 256
_POINT_BYTES: Final = 24
_BLOCK_BYTES: Final = 64
_REMEMBERED_POINTS: Final = 300_000

RegionKey = tuple[str, int, int]


class Regions:
    """The regions that were read last, for all watches that go through them; for all threads.

    What a region has never changes, however often it is merged again.
    """

    def __init__(self) -> None:
        self._tables: OrderedDict[RegionKey, BlockTable] = OrderedDict()
        self._lock = Lock()

    def get(self, key: RegionKey, read: Callable[[], BlockTable]) -> BlockTable:
        """Return a region, read if need be."""
        with self._lock:
            table = self._tables.get(key)
            if table is not None:
                self._tables.move_to_end(key)
                return table
        table = read()
        with self._lock:
            self._tables[key] = table
            while len(self._tables) > 1 and self._points() > _REMEMBERED_POINTS:
                self._tables.popitem(last=False)
        return table

    def _points(self) -> int:
        return sum(table.points for table in self._tables.values())


@dataclass(frozen=True, slots=True)
class History:
    """What is stored of runs, as watches read it."""

    identities: Identities
    regions: Regions

    def page(self, connection: Connection, run_id: str, after: int) -> Page:
        """Return the blocks after a sequence, about a page of them.

        Raises:
            ChunkCorruptError: The first of them are not what was stored.
        """
        begin_snapshot(connection)
        head = read_heads(connection, HEAD, [run_id]).get(run_id, 0)
        parts: list[bytes] = []
        size = 0
        position = after
        try:
            for last, part in self._blocks(connection, run_id, after):
                parts.append(part)
                size += len(part)
                position = last
                if size >= PAGE_BYTES:
                    break
        except ChunkCorruptError:
            if not parts:
                raise
        return Page(b"".join(parts), position, head)

    def _blocks(
        self, connection: Connection, run_id: str, after: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the blocks after a sequence, about a page of them, with their sequences."""
        through = _look_ahead(connection, run_id, after)
        if through is None:
            return
        stored = read_chunks(
            connection,
            CHUNK.c.run_id == run_id,
            CHUNK.c.last_sequence > after,
            CHUNK.c.last_sequence <= through,
        )
        for region in _regions(stored):
            if region[0].is_small:
                yield from _small_blocks(region[0], after)
            else:
                table = self._table(connection, run_id, region)
                start = int(np.searchsorted(table.sequences, after, side="right"))
                yield from _in_pages(table, start, is_late=region[0].late)

    def _table(
        self, connection: Connection, run_id: str, region: Sequence[StoredChunk]
    ) -> BlockTable:
        first, last = region[0].first, region[0].last
        read = partial(read_table, connection, run_id, region, self.identities)
        return read() if first == last else self.regions.get((run_id, first, last), read)


def _look_ahead(connection: Connection, run_id: str, after: int) -> int | None:
    """Return the last sequence of the regions that make up a page, at least of one."""
    c = CHUNK.c
    rows = connection.execute(
        select(c.first_sequence, c.last_sequence, c.points)
        .where(c.run_id == run_id, c.last_sequence > after)
        .order_by(c.last_sequence)
        .limit(_ROWS_A_LOOK)
    )
    size = 0
    through: int | None = None
    for first, last, points in rows:
        if size >= PAGE_BYTES and last != through:
            break
        size += points * _POINT_BYTES + _BLOCK_BYTES * (last - first + 1)
        through = last
    return through


def _small_blocks(stored: StoredChunk, after: int) -> Iterator[tuple[int, bytes]]:
    for sequence, block in enumerate(split(stored.fragment()), stored.first):
        if sequence > after:
            yield sequence, envelop(block)


def _in_pages(table: BlockTable, start: int, *, is_late: bool) -> Iterator[tuple[int, bytes]]:
    """Yield blocks, encoding no more at a time than a page may need."""
    blocks_a_page = max(1, PAGE_BYTES * len(table) // (table.points * _POINT_BYTES or 1))
    for begin in range(start, len(table), blocks_a_page):
        yield from table.part(begin, begin + blocks_a_page).fragments(is_late=is_late)


def _regions(stored: Sequence[StoredChunk]) -> Iterator[Sequence[StoredChunk]]:
    start = 0
    for index in range(1, len(stored) + 1):
        if index == len(stored) or stored[index].last != stored[start].last:
            yield stored[start:index]
            start = index
