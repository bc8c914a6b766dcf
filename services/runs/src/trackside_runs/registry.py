"""The one writer of runs: every change passes here, in the committer's thread and transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from trackside_journal.bus import Bus
from trackside_journal.committer import RefusalError, Settled, Ticket
from trackside_journal.ingest import RawBatch
from trackside_journal.producers import ProducerGate
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs.record import RunRecord
from trackside_runs.reports import ReportTaker
from trackside_runs.requests import require_none
from trackside_runs.silences import Silences
from trackside_runs.storage import fact_tables
from trackside_runs.storage.ledger import Ledger
from trackside_runs.storage.notices import IsWatched
from trackside_runs.validation.requests import MAXIMUM_REPORTS, check_reports
from trackside_serving.calls import parse
from trackside_serving.clock import ClockMs
from trackside_serving.errors import (
    NotAllowedError,
    RunDeletedError,
    ServiceError,
    TooManyItemsError,
)
from trackside_serving.identity import Role


@dataclass(frozen=True, slots=True)
class Change:
    """A change other than a batch of reports: what to lock, and what to do then."""

    run_ids: Sequence[str]
    make: Callable[[Ledger], Any]
    """Returns the result of the change, or raises the ServiceError by which it is refused,
    before it has entered anything."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a batch."""

    role: Role
    clock_offset_ms: int = 0
    """How far its clock is ahead of the server's; negative: behind."""


ReportBatch = RawBatch[Sender]
"""A batch, and who sends it."""
Work = ReportBatch | Change


@dataclass(frozen=True, slots=True)
class Signals:
    """Whom to tell in the event loop, after a commit."""

    agents_wanted: Callable[[], None]
    """There may be something for agents and sessions to do."""
    children_advanced: Callable[[set[str]], None]
    """Takes the parents whose children have made progress."""
    runs_removed: Callable[[], None]
    """There is something left of deleted runs to remove."""


class Registry:
    """Applies works to the store. See `trackside_journal.committer.Applier`."""

    def __init__(
        self,
        bus: Bus,
        signals: Signals,
        *,
        clock_ms: ClockMs,
        silences: Silences,
        is_watched: IsWatched,
    ) -> None:
        self._bus = bus
        self._signals = signals
        self._is_watched = is_watched
        self._clock_ms = clock_ms
        self._silences = silences
        self._gate: ProducerGate[ReportBatch] = ProducerGate(fact_tables.PRODUCER)

    @property
    def wants_tick(self) -> bool:
        """Whether batches are held for their predecessors."""
        return self._gate.is_holding

    def apply(self, connection: Connection, tickets: Sequence[Ticket[Work]]) -> Settled[Work]:
        """Apply works in order, in one transaction."""
        ledger = Ledger(connection, self._clock_ms(), self._silences)
        ledger.lock(_run_ids(tickets) | self._gate.held_run_ids())
        settled: Settled[Work] = Settled()

        def settle(ticket: Ticket[Any], result: object) -> None:
            settled.results.append((ticket, result))

        self._apply_batches(ledger, tickets, settle)
        for ticket in tickets:
            if isinstance(ticket.work, Change):
                settle(ticket, _make(ledger, ticket.work))
        notices = ledger.close(self._is_watched)
        advanced, agents = ledger.advanced_parents, ledger.agents
        if notices:
            settled.after_commit.append(lambda: self._bus.publish(notices))
        if agents.has_work or agents.has_requests:
            settled.after_commit.append(self._signals.agents_wanted)
        if advanced:
            settled.after_commit.append(lambda: self._signals.children_advanced(advanced))
        if ledger.has_removed:
            settled.after_commit.append(self._signals.runs_removed)
        return settled

    def rolled_back(self) -> Sequence[Ticket[Any]]:
        """Give up what is held."""
        return self._gate.rolled_back()

    def _apply_batches(
        self,
        ledger: Ledger,
        tickets: Sequence[Ticket[Work]],
        settle: Callable[[Ticket[Any], object], None],
    ) -> None:
        batches: list[Ticket[Any]] = [t for t in tickets if isinstance(t.work, RawBatch)]
        if batches or self._gate.is_holding:
            self._gate.pass_through(
                ledger.connection, batches, lambda ticket: _take(ledger, ticket.work), settle
            )


def _take(ledger: Ledger, batch: ReportBatch) -> ServiceError | None:
    """Enter a batch, or return the error by which it is refused with nothing entered.

    Raises:
        RefusalError: It is refused after a part of it was entered.
    """
    record = ledger.find(batch.key.run_id)
    if record is None:
        return RunDeletedError()  # since the batch was let in
    producer_id = batch.key.producer_id
    sender = batch.admission
    if sender.role is Role.REPORTER and _is_agents(record, producer_id):
        return NotAllowedError("A program cannot report in the name of its agent.")
    try:
        request = _parsed(batch.raw)
    except ServiceError as error:
        return error
    try:
        ReportTaker(ledger, record, producer_id, sender.clock_offset_ms).take(request.reports)
    except ServiceError as error:
        raise RefusalError(error) from error
    return None


def _parsed(raw: bytes) -> runs_service_pb2.ReportRunRequest:
    request = parse(runs_service_pb2.ReportRunRequest, raw)
    if len(request.reports) > MAXIMUM_REPORTS:
        raise TooManyItemsError(f"A batch has at most {MAXIMUM_REPORTS} reports.")
    require_none(check_reports(request))
    return request


def _is_agents(record: RunRecord, producer_id: str) -> bool:
    return record.facts.is_launched and record.facts.authority == producer_id


def _make(ledger: Ledger, change: Change) -> object:
    try:
        return change.make(ledger)
    except ServiceError as error:
        return error


def _run_ids(tickets: Sequence[Ticket[Work]]) -> set[str]:
    run_ids: set[str] = set()
    for ticket in tickets:
        work = ticket.work
        run_ids.update(work.run_ids if isinstance(work, Change) else [work.key.run_id])
    return run_ids
