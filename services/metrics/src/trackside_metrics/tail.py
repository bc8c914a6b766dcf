"""The tail of a run: what came in small blocks and is not merged yet, so in no series' figures."""

from sqlalchemy import Connection

from trackside_metrics.block_table import BlockTable, BlockTableBuilder, Wanted
from trackside_metrics.identities import Identities
from trackside_metrics.rows import read_chunks
from trackside_metrics.tables import CHUNK, IS_UNSETTLED, SMALL


def read_tail(
    connection: Connection, run_id: str, identities: Identities, wanted: Wanted
) -> BlockTable:
    """Return the wanted blocks that are not merged yet.

    Raises:
        ChunkCorruptError: A row is not what was stored.
    """
    builder = BlockTableBuilder(identities, wanted)
    rows = read_chunks(connection, CHUNK.c.run_id == run_id, IS_UNSETTLED, CHUNK.c.level == SMALL)
    for row in rows:
        builder.add_fragment(row.fragment(), row.first, is_late=row.late)
    return builder.build()
