"""Builds the logs service: the one module that knows every other."""

from typing import Final

from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.records import RecordService, RecordTables, Surroundings
from trackside_logs import applier, tables
from trackside_logs.merger import Merger
from trackside_logs.servicer import LogsServicer

TABLES: Final = RecordTables(
    schema="logs",
    every=tables.TABLES,
    head=tables.HEAD,
    directory=tables.DIRECTORY,
    directory_cursor=tables.DIRECTORY_CURSOR,
    revocation=tables.REVOCATION,
)


class LogsService(RecordService[applier.Work]):
    """The whole service. See `RecordService`."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings, TABLES)
        self.merger = Merger(self.database, self.commit)
        self.work_with(
            applier.LogApplier(
                applier.Surroundings(
                    store_directory=self.directory.store,
                    purge=self.purge,
                    confirmed=self.confirmed,
                    is_sealed=self.directory.is_sealed,
                    wants_payload=self.is_watched,
                    publish=self.bus.publish,
                    added_small=self.merger.added,
                )
            ),
            self.merger,
        )
        self.servicer = LogsServicer(
            database=self.database,
            directory=self.directory,
            hub=self.hub,
            mint=CursorMint(surroundings.server_id, JournalKind.LOGS),
            submit=self.submit,
        )
        self.serve_with(self.servicer)
