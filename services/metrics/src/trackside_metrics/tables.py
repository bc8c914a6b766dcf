"""The tables of the metrics service.

Points are kept in chunks of two kinds. What comes in small blocks is one row for a batch, of
no series (`series_id` 0), as it is sent to watchers. All else is columnar: points of one
series. Merging turns the first kind into the second; all chunks that come from one merge cover
the same region of sequences, so that what a watch sends can be made again in order.
"""

from typing import ClassVar, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Float,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    event,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlmodel import Field, SQLModel

from trackside_journal.directory import DirectoryColumns, DirectoryCursorColumns
from trackside_journal.heads import HeadColumns
from trackside_journal.producers import ProducerColumns
from trackside_journal.revocation_copy import RevocationColumns

NO_SERIES: Final = 0

SMALL: Final = 0
"""The level of rows of small blocks."""
GROWING: Final = 1
"""The level of columnar chunks that are to be merged with their neighbours."""
SETTLED: Final = 2
"""The level of columnar chunks that are large enough to stay as they are."""


_ORDERED_TEXT: Final = String().with_variant(postgresql.VARCHAR(collation="C"), "postgresql")
"""Text that is ordered by code point, as Python and SQLite order it."""


class MetricsTable(SQLModel):
    """The base of the service's tables: they have a MetaData of their own."""

    metadata: ClassVar[MetaData] = (  # pyright: ignore[reportIncompatibleVariableOverride] - SQLModel reads it here
        MetaData()
    )


class SummaryColumns(SQLModel):
    """The columns of a summary; of values NULL is NaN."""

    points: int = Field(sa_type=BigInteger)
    nan_count: int | None = Field(default=None, sa_type=BigInteger)
    step_min: int | None = Field(default=None, sa_type=BigInteger)
    step_max: int | None = Field(default=None, sa_type=BigInteger)
    time_min: int | None = Field(default=None, sa_type=BigInteger)
    time_max: int | None = Field(default=None, sa_type=BigInteger)
    value_min: float | None = Field(default=None, sa_type=Float)
    value_max: float | None = Field(default=None, sa_type=Float)
    value_sum: float | None = Field(default=None, sa_type=Float)
    last_step: int | None = Field(default=None, sa_type=BigInteger)
    last_time: int | None = Field(default=None, sa_type=BigInteger)
    last_value: float | None = Field(default=None, sa_type=Float)
    last_block: int | None = Field(default=None, sa_type=BigInteger)
    """The sequence of the block that has the last point."""


class Head(HeadColumns, MetricsTable, table=True):
    """The sequence of each run's latest block."""


class Producer(ProducerColumns, MetricsTable, table=True):
    """What is remembered of each producer."""


class Directory(DirectoryColumns, MetricsTable, table=True):
    """What is known of each run."""


class DirectoryCursor(DirectoryCursorColumns, MetricsTable, table=True):
    """How far the watch of the directory has got."""


class Revocation(RevocationColumns, MetricsTable, table=True):
    """Which tokens are refused."""


class Told(HeadColumns, MetricsTable, table=True):
    """The latest block of each run that is in the figures which RunsService knows."""


class Series(SummaryColumns, MetricsTable, table=True):
    """A series, with the figures of all its columnar chunks; not those of small blocks."""

    run_id: str = Field(primary_key=True, max_length=16)
    series_id: int = Field(primary_key=True)
    """Counted from 1 in each run."""
    digest: bytes = Field(sa_type=LargeBinary)
    """Of key and context."""
    key: str = Field(sa_type=_ORDERED_TEXT)  # pyright: ignore[reportArgumentType] - SQLModel takes instances too
    context: str = Field(sa_type=_ORDERED_TEXT)  # pyright: ignore[reportArgumentType] - the same
    """JSON, its keys in order."""


class Chunk(SummaryColumns, MetricsTable, table=True):
    """Points of the blocks from one sequence to another; the blob comes last."""

    run_id: str = Field(primary_key=True, max_length=16)
    last_sequence: int = Field(primary_key=True, sa_type=BigInteger)
    series_id: int = Field(primary_key=True)
    first_sequence: int = Field(sa_type=BigInteger)
    level: int
    late: bool
    """Whether its blocks came after the run was sealed; all of them or none."""
    is_ordered: bool | None = None
    """Whether neither steps nor times ever go back; None in rows of small blocks."""
    codec: int
    checksum: int = Field(sa_type=BigInteger)
    blob: bytes = Field(sa_type=LargeBinary)


TABLES: Final = MetricsTable.metadata
HEAD: Final[Table] = TABLES.tables["head"]
PRODUCER: Final[Table] = TABLES.tables["producer"]
DIRECTORY: Final[Table] = TABLES.tables["directory"]
DIRECTORY_CURSOR: Final[Table] = TABLES.tables["directorycursor"]
REVOCATION: Final[Table] = TABLES.tables["revocation"]
TOLD: Final[Table] = TABLES.tables["told"]
SERIES: Final[Table] = TABLES.tables["series"]
CHUNK: Final[Table] = TABLES.tables["chunk"]

IS_COLUMNAR: Final = text("series_id > 0")
"""Said in every query by series, so that the index of columnar chunks is used."""

IS_UNSETTLED: Final = text("level < 2")
"""Said in every query for what is to be merged, so that its small index is used."""

Index("series_identity", SERIES.c.run_id, SERIES.c.digest, unique=True)
# Not the context: it may be longer than PostgreSQL lets an entry of an index be.
Index("series_order", SERIES.c.run_id, SERIES.c.key)
Index(
    "chunk_series",
    CHUNK.c.run_id,
    CHUNK.c.series_id,
    CHUNK.c.last_sequence,
    sqlite_where=IS_COLUMNAR,
    postgresql_where=IS_COLUMNAR,
)
Index(
    "chunk_unsettled",
    CHUNK.c.run_id,
    CHUNK.c.last_sequence,
    sqlite_where=IS_UNSETTLED,
    postgresql_where=IS_UNSETTLED,
)

# PostgreSQL need not try to compress what is compressed.
event.listen(
    CHUNK,
    "after_create",
    DDL("alter table %(fullname)s alter column blob set storage external").execute_if(
        dialect="postgresql"
    ),
)
