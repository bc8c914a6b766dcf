"""The tables of the logs service."""

from typing import ClassVar, Final

from sqlalchemy import DDL, BigInteger, Index, MetaData, Table, event, text
from sqlmodel import Field, SQLModel

from trackside_journal.directory import DirectoryColumns, DirectoryCursorColumns
from trackside_journal.heads import HeadColumns
from trackside_journal.producers import ProducerColumns
from trackside_journal.revocation_copy import RevocationColumns


class LogsTable(SQLModel):
    """The base of the service's tables: they have a MetaData of their own."""

    metadata: ClassVar[MetaData] = (  # pyright: ignore[reportIncompatibleVariableOverride] - SQLModel reads it here
        MetaData()
    )


class Head(HeadColumns, LogsTable, table=True):
    """The sequence of each run's latest entry."""


class Producer(ProducerColumns, LogsTable, table=True):
    """What is remembered of each producer."""


class Directory(DirectoryColumns, LogsTable, table=True):
    """What is known of each run."""


class DirectoryCursor(DirectoryCursorColumns, LogsTable, table=True):
    """How far the watch of the directory has got."""


class Revocation(RevocationColumns, LogsTable, table=True):
    """Which tokens are refused."""


class Chunk(LogsTable, table=True):
    """Consecutive entries of one run: encoded `WatchLogsResponse.blocks`, compressed.

    What a filter can decide by stands beside the blob, which comes last so that a scan of the
    other columns does not read it.
    """

    run_id: str = Field(primary_key=True, max_length=16)
    first_sequence: int = Field(primary_key=True, sa_type=BigInteger)
    last_sequence: int = Field(sa_type=BigInteger)
    earliest_second: int | None = Field(default=None, sa_type=BigInteger)
    """No entry's time is before this second since 1970; None: no entry has a time."""
    latest_second: int | None = Field(default=None, sa_type=BigInteger)
    """No entry's time is after this second."""
    levels: int
    """A bit for each level that may be in it, 1 << level."""
    size: int
    """The bytes of the content before compression."""
    mergeable: bool
    """Whether it is small and may yet be joined with its neighbours."""
    codec: int
    checksum: int = Field(sa_type=BigInteger)
    blob: bytes


TABLES: Final = LogsTable.metadata
HEAD: Final[Table] = TABLES.tables["head"]
PRODUCER: Final[Table] = TABLES.tables["producer"]
DIRECTORY: Final[Table] = TABLES.tables["directory"]
DIRECTORY_CURSOR: Final[Table] = TABLES.tables["directorycursor"]
REVOCATION: Final[Table] = TABLES.tables["revocation"]
CHUNK: Final[Table] = TABLES.tables["chunk"]

# Only what may yet be merged is in it, so it stays small however much is stored.
Index(
    "chunk_mergeable",
    CHUNK.c.run_id,
    CHUNK.c.first_sequence,
    sqlite_where=CHUNK.c.mergeable == text("1"),
    postgresql_where=CHUNK.c.mergeable,
)

# PostgreSQL need not try to compress what is compressed.
event.listen(
    CHUNK,
    "after_create",
    DDL("alter table %(fullname)s alter column blob set storage external").execute_if(
        dialect="postgresql"
    ),
)
