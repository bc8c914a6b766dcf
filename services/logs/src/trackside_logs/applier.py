"""What the logs service does in the committer's transactions: append, merge, keep the directory."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, insert
from typing_extensions import override

from trackside_journal.committer import Applier, Settled, Ticket
from trackside_journal.directory import DirectoryWork, RunEntry
from trackside_journal.heads import Head, lock_heads, store_heads
from trackside_journal.ingest import RawBatch
from trackside_journal.notices import Notice
from trackside_journal.producers import ProducerGate
from trackside_journal.purging import Confirmed, PurgeWork
from trackside_logs.appending import Appending
from trackside_logs.blocks import Origin
from trackside_logs.merging import MergeWork, merge
from trackside_logs.tables import CHUNK, HEAD, PRODUCER
from trackside_logs.validation import examine
from trackside_serving.errors import ServiceError

LogBatch: TypeAlias = RawBatch[RunEntry]
Work: TypeAlias = LogBatch | DirectoryWork | MergeWork | PurgeWork | Confirmed

_LARGEST_NOTICES: Final = 1 << 20
"""More than this would not be kept for a watcher: watchers read it from the store."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the applier asks and tells."""

    store_directory: Callable[[Connection, DirectoryWork], None]
    """Stores directory entries in the transaction."""
    purge: Callable[[Connection, PurgeWork], bool]
    """Removes some of a deleted run in the transaction, and says whether nothing is left."""
    confirmed: Callable[[Connection, Confirmed], None]
    """Notes in the transaction that RunsService knows what is purged."""
    is_sealed: Callable[[RunEntry], bool]
    """Whether a run is sealed now; the entry is from when its producer was let in."""
    wants_payload: Callable[[str], bool]
    """Whether anybody wants to hear the entries of a run."""
    publish: Callable[[Sequence[Notice]], None]
    """Tells the bus; called in the event loop."""
    added_small: Callable[[str, int], None]
    """Tells the merger of small chunks of a run; called in the event loop."""


class LogApplier(Applier[Work]):
    """Stores batches, merges and directory entries. Lives in the committer's thread."""

    def __init__(
        self, surroundings: Surroundings, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._surroundings = surroundings
        self._clock = clock
        self._gate = ProducerGate[LogBatch](PRODUCER)

    @property
    @override
    def wants_tick(self) -> bool:
        return self._gate.is_holding

    @override
    def rolled_back(self) -> Sequence[Ticket[Any]]:
        return self._gate.rolled_back()

    @override
    def apply(self, connection: Connection, tickets: Sequence[Ticket[Work]]) -> Settled[Any]:
        settled = Settled[Any]()
        batches: list[Ticket[LogBatch]] = []
        merges: list[Ticket[MergeWork]] = []
        purges: list[Ticket[PurgeWork]] = []
        run_ids = self._gate.held_run_ids()
        for ticket in tickets:
            work = ticket.work
            if isinstance(work, RawBatch):
                batches.append(cast("Ticket[LogBatch]", ticket))
                run_ids.add(work.key.run_id)
            elif isinstance(work, MergeWork):
                merges.append(cast("Ticket[MergeWork]", ticket))
            elif isinstance(work, PurgeWork):
                purges.append(cast("Ticket[PurgeWork]", ticket))
            else:
                self._note(connection, work)
                settled.results.append((ticket, None))
        merged = {ticket.work.run_id for ticket in merges} - run_ids
        heads = lock_heads(connection, HEAD, run_ids | merged, but_not_made=merged)
        self._append(connection, batches, heads, settled)
        settled.results.extend((ticket, merge(connection, ticket.work)) for ticket in merges)
        settled.results.extend((ticket, self._purge(connection, ticket.work)) for ticket in purges)
        return settled

    def _note(self, connection: Connection, work: DirectoryWork | Confirmed) -> None:
        if isinstance(work, Confirmed):
            self._surroundings.confirmed(connection, work)
        else:
            self._surroundings.store_directory(connection, work)

    def _purge(self, connection: Connection, work: PurgeWork) -> bool:
        self._gate.forget(work.run_id)
        return self._surroundings.purge(connection, work)

    def _append(
        self,
        connection: Connection,
        batches: Sequence[Ticket[LogBatch]],
        heads: Mapping[str, Head],
        settled: Settled[Any],
    ) -> None:
        appendings: dict[str, Appending] = {}
        receive_time = Timestamp()
        # Whole milliseconds are enough for it, and take half the room in a chunk.
        receive_time.FromMilliseconds(self._clock() // 1_000_000)
        encoded_time = receive_time.SerializeToString()

        def take(ticket: Ticket[LogBatch]) -> ServiceError | None:
            batch = ticket.work
            key = batch.key
            try:
                traits = examine(batch.raw, batch.body)
            except ServiceError as error:
                return error
            if key.run_id not in appendings:
                appendings[key.run_id] = Appending(heads[key.run_id])
            is_late = self._surroundings.is_sealed(batch.admission)
            origin = Origin(encoded_time, key.producer_id, is_late)
            appendings[key.run_id].append(traits, origin)
            return None

        def settle(ticket: Ticket[LogBatch], result: object) -> None:
            settled.results.append((ticket, result))

        self._gate.pass_through(connection, batches, take, settle)
        rows = [row for appending in appendings.values() for row in appending.rows()]
        if rows:
            connection.execute(insert(CHUNK), rows)
            store_heads(connection, HEAD, heads.values())
            settled.after_commit.append(lambda: self._tell(appendings.values()))

    def _tell(self, appendings: Iterable[Appending]) -> None:
        notices: list[Notice] = []
        for appending in appendings:
            run_id = appending.head.run_id
            with_payload = appending.size <= _LARGEST_NOTICES and self._surroundings.wants_payload(
                run_id
            )
            notices.extend(appending.notices(with_payload=with_payload))
            if appending.small_count:
                self._surroundings.added_small(run_id, appending.small_count)
        self._surroundings.publish(notices)
