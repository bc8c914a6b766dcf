"""Working a merge out: chunks are read and put together anew, outside of any transaction."""

import itertools
from collections.abc import Iterator

import numpy as np
from sqlalchemy import Connection

from trackside_metrics.block_table import BlockTable
from trackside_metrics.identities import Identities
from trackside_metrics.merges import Fingerprint, Merge, Replacement
from trackside_metrics.planning import CHUNK_POINTS, MEAN_POINTS, REGION_POINTS, Group
from trackside_metrics.regions import read_table
from trackside_metrics.rows import Span, pack, read_chunks
from trackside_metrics.summaries import are_ordered, summarize
from trackside_metrics.tables import CHUNK, GROWING, SETTLED


def work_out(connection: Connection, run_id: str, group: Group, identities: Identities) -> Merge:
    """Return the merge of a group of neighbouring regions.

    Raises:
        ChunkCorruptError: A chunk is not what was stored.
    """
    first, last = group.first, group.last
    stored = read_chunks(
        connection, CHUNK.c.run_id == run_id, CHUNK.c.last_sequence.between(first, last)
    )
    expected = Fingerprint(len(stored), sum(row.chunk.checksum for row in stored))
    table = read_table(connection, run_id, stored, identities)
    late = group.regions[0].late
    replacements: list[Replacement] = []
    for part in _cut(table):
        span = Span(run_id, int(part.sequences[0]), int(part.sequences[-1]), late)
        replacements += _replacements(span, part, is_full=group.is_full)
    return Merge(run_id, first, last, expected, replacements)


def _replacements(span: Span, part: BlockTable, *, is_full: bool) -> Iterator[Replacement]:
    series = list(part.by_series())
    largest = max(len(one.points.steps) for one in series)
    is_long = 2 * largest >= CHUNK_POINTS and 2 * part.points >= MEAN_POINTS * len(series)
    is_large = is_long or 2 * part.points >= REGION_POINTS
    level = SETTLED if is_full or is_large else GROWING
    for identity, points, uncounted in series:
        packed = pack(span, level, points)
        if uncounted is None:
            counted = None
        elif uncounted is points:
            counted = packed.summary
        else:
            is_ordered = are_ordered(uncounted.steps, uncounted.times)
            counted = summarize(uncounted, is_ordered=is_ordered)
        yield Replacement(identity, packed, counted)


def _cut(table: BlockTable) -> Iterator[BlockTable]:
    """Yield the table in parts in which no series has much more than `CHUNK_POINTS` points."""
    order = np.argsort(table.series, kind="stable")
    series, sizes = table.series[order], table.sizes[order]
    ends = np.cumsum(sizes)
    firsts = np.flatnonzero(np.diff(series, prepend=-1))
    before = np.repeat((ends - sizes)[firsts], np.diff(np.append(firsts, len(series))))
    counts = ends - before  # of its series, up to and with each block
    largest = int(counts.max())
    parts = min(round(largest / CHUNK_POINTS), table.points // (MEAN_POINTS * len(firsts)))
    parts = max(1, parts)
    target = -(-largest // parts)
    part = np.empty(len(table), np.int64)
    part[order] = (counts - 1) // target
    # A part ends where the fastest series has its number of points.
    np.maximum.accumulate(part, out=part)
    bounds = [*np.flatnonzero(np.diff(part, prepend=-1)).tolist(), len(table)]
    for start, end in itertools.pairwise(bounds):
        yield table.part(start, end)
