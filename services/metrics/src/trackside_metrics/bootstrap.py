"""Builds the metrics service: the one module that knows every other."""

from typing import Final

from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.records import RecordService, RecordTables, Surroundings
from trackside_metrics import applier, tables
from trackside_metrics.figure_reporter import FigureReporter, ReportFigures
from trackside_metrics.history import History, Regions
from trackside_metrics.identities import Identities
from trackside_metrics.merger import Merger
from trackside_metrics.servicer import MetricsServicer
from trackside_metrics.source import Reading

TABLES: Final = RecordTables(
    schema="metrics",
    every=tables.TABLES,
    head=tables.HEAD,
    directory=tables.DIRECTORY,
    directory_cursor=tables.DIRECTORY_CURSOR,
    revocation=tables.REVOCATION,
)


class MetricsService(RecordService[applier.Work]):
    """The whole service. See `RecordService`."""

    def __init__(self, surroundings: Surroundings, report_figures: ReportFigures) -> None:
        """Open the store and make its tables.

        Args:
            surroundings: Where it works.
            report_figures: Tells RunsService what series have come to.
        """
        super().__init__(surroundings, TABLES)
        identities = Identities()
        self.figures = FigureReporter(self.database, self.commit, identities, report_figures)
        self.merger = Merger(self.database, self.commit, identities)
        self.work_with(
            applier.MetricsApplier(
                identities,
                applier.Surroundings(
                    store_directory=self.directory.store,
                    purge=self.purge,
                    confirmed=self.confirmed,
                    is_sealed=self.directory.is_sealed,
                    is_watched=self.is_watched,
                    publish=self.bus.publish,
                    added=self.merger.added,
                    appended=self.figures.appended,
                ),
            ),
            self.merger,
            self.figures,
        )
        reading = Reading(
            database=self.database,
            directory=self.directory,
            mint=CursorMint(surroundings.server_id, JournalKind.METRICS),
            history=History(identities, Regions()),
            identities=identities,
        )
        self.servicer = MetricsServicer(reading=reading, hub=self.hub, submit=self.submit)
        self.serve_with(self.servicer)
