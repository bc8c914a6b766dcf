"""Stored chunks as tables of blocks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, select

from trackside_metrics.block_table import BlockTable, BlockTableBuilder
from trackside_metrics.identities import Identities, Identity
from trackside_metrics.rows import StoredChunk
from trackside_metrics.tables import SERIES

_NUMBERS_A_QUERY: Final = 500


def read_table(
    connection: Connection,
    run_id: str,
    stored: Sequence[StoredChunk],
    identities: Identities,
) -> BlockTable:
    """Return the blocks of chunks.

    Raises:
        ChunkCorruptError: A chunk is not what was stored.
    """
    builder = BlockTableBuilder(identities)
    numbers = {row.series_id for row in stored if not row.is_small}
    series = _read_identities(connection, run_id, numbers, identities)
    for row in stored:
        if row.is_small:
            builder.add_fragment(row.fragment(), row.first, is_late=row.late)
        else:
            builder.add_chunk(series[row.series_id], row.blocks())
    return builder.build()


def _read_identities(
    connection: Connection, run_id: str, numbers: Iterable[int], identities: Identities
) -> Mapping[int, Identity]:
    found: dict[int, Identity] = {}
    missing: list[int] = []
    for number in numbers:
        identity = identities.numbered(run_id, number)
        if identity is None:
            missing.append(number)
        else:
            found[number] = identity
    for start in range(0, len(missing), _NUMBERS_A_QUERY):
        rows = connection.execute(
            select(SERIES.c.series_id, SERIES.c.key, SERIES.c.context).where(
                SERIES.c.run_id == run_id,
                SERIES.c.series_id.in_(missing[start : start + _NUMBERS_A_QUERY]),
            )
        )
        for number, key, context in rows:
            found[number] = identities.stored(key, context)
            identities.remember(run_id, number, found[number])
    return found
