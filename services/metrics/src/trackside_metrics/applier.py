"""What the committer's thread does with works: batches, merges, entries of the run directory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import Connection

from trackside_journal.committer import Settled, Ticket
from trackside_journal.directory import DirectoryWork, RunEntry
from trackside_journal.heads import Head, lock_heads, store_heads
from trackside_journal.ingest import RawBatch
from trackside_journal.notices import Notice
from trackside_journal.producers import ProducerGate
from trackside_journal.purging import Confirmed, PurgeWork
from trackside_metrics.figure_reporter import FiguresTold, store_told
from trackside_metrics.identities import Identities
from trackside_metrics.intake import Intake, MetricBatch, Unsettled
from trackside_metrics.merges import Merge, apply_merge
from trackside_metrics.register import SeriesRegister
from trackside_metrics.tables import HEAD, PRODUCER

_REMEMBERED_HEADS: Final = 10_000

Work = MetricBatch | Merge | DirectoryWork | PurgeWork | Confirmed | FiguresTold


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the applier needs from the rest of the service.

    Attributes:
        store_directory: Stores entries of the run directory.
        purge: Removes some of a deleted run, and says whether nothing is left.
        confirmed: Notes that RunsService knows what is purged.
        is_sealed: Whether a run is sealed by now.
        is_watched: Whether what comes to a run is to be told with its contents.
        publish: Tells watchers; called in the event loop.
        added: Told what is to be merged some time; called in the event loop.
        appended: Told which runs have got points; called in the event loop.
    """

    store_directory: Callable[[Connection, DirectoryWork], None]
    purge: Callable[[Connection, PurgeWork], bool]
    confirmed: Callable[[Connection, Confirmed], None]
    is_sealed: Callable[[RunEntry], bool]
    is_watched: Callable[[str], bool]
    publish: Callable[[Sequence[Notice]], None]
    added: Callable[[Mapping[str, Unsettled]], None]
    appended: Callable[[Collection[str]], None]


class MetricsApplier:
    """Stores works. Lives in the committer's thread; what surrounds it is called from there."""

    def __init__(self, identities: Identities, surroundings: Surroundings) -> None:
        self._identities = identities
        self._surroundings = surroundings
        self._register = SeriesRegister()
        self._heads: dict[str, Head] = {}
        self._gate: ProducerGate[MetricBatch] = ProducerGate(PRODUCER)

    @property
    def wants_tick(self) -> bool:
        """Whether batches wait for their predecessors."""
        return self._gate.is_holding

    def apply(self, connection: Connection, tickets: Sequence[Ticket[Work]]) -> Settled[Work]:
        """Store works. A merge's result is whether it could still be done."""
        settled: Settled[Work] = Settled()
        batches: list[Ticket[MetricBatch]] = []
        others: list[Ticket[Work]] = []
        run_ids = self._gate.held_run_ids()
        merged: set[str] = set()
        for ticket in tickets:
            work = ticket.work
            if isinstance(work, RawBatch):
                batches.append(cast("Ticket[MetricBatch]", ticket))
                run_ids.add(work.key.run_id)
            else:
                others.append(ticket)
                if isinstance(work, Merge):
                    merged.add(work.run_id)
        heads = self._lock_heads(connection, run_ids, merged - run_ids)
        intake = Intake(
            heads,
            self._identities,
            is_watched=self._surroundings.is_watched,
            is_sealed=self._surroundings.is_sealed,
        )
        if batches or self._gate.is_holding:
            self._gate.pass_through(
                connection,
                batches,
                intake.take,
                lambda ticket, result: settled.results.append(
                    (cast("Ticket[Work]", ticket), result)
                ),
            )
            intake.store(connection, self._register)
            store_heads(connection, HEAD, heads.values())
        settled.results += [(ticket, self._do(connection, ticket.work)) for ticket in others]
        self._tell(intake, settled)
        return settled

    def rolled_back(self) -> Sequence[Ticket[Work]]:
        """Give up every batch that is held."""
        self._register.forget()
        self._heads = {}
        return cast("Sequence[Ticket[Work]]", self._gate.rolled_back())

    def _lock_heads(
        self, connection: Connection, run_ids: set[str], merged: set[str]
    ) -> dict[str, Head]:
        """Lock heads; they are remembered where there is no other writer to be kept out."""
        if connection.dialect.name != "sqlite":
            wanted = run_ids | merged
            return lock_heads(connection, HEAD, wanted, but_not_made=merged) if wanted else {}
        if len(self._heads) > _REMEMBERED_HEADS:
            self._heads = {}
        unknown = run_ids.difference(self._heads)
        if unknown:
            self._heads |= lock_heads(connection, HEAD, unknown)
        heads = {run_id: self._heads[run_id] for run_id in run_ids}
        for head in heads.values():
            head.changed = False
        return heads

    def _do(self, connection: Connection, work: Work) -> object:
        if isinstance(work, Merge):
            return apply_merge(connection, work, self._register)
        if isinstance(work, PurgeWork):
            self._gate.forget(work.run_id)
            self._heads.pop(work.run_id, None)
            self._register.forget()
            return self._surroundings.purge(connection, work)
        if isinstance(work, Confirmed):
            self._surroundings.confirmed(connection, work)
            return None
        if isinstance(work, FiguresTold):
            store_told(connection, work)
            return None
        assert isinstance(work, DirectoryWork), "batches go through the gate"
        self._surroundings.store_directory(connection, work)
        return None

    def _tell(self, intake: Intake, settled: Settled[Work]) -> None:
        notices, unsettled = intake.notices(), intake.unsettled()
        appended = intake.run_ids()
        if appended:
            settled.after_commit.append(lambda: self._surroundings.appended(appended))
        if notices:
            settled.after_commit.append(lambda: self._surroundings.publish(notices))
        if unsettled:
            settled.after_commit.append(lambda: self._surroundings.added(unsettled))
