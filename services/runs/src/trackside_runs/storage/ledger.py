"""The books of one transaction: runs and their parts, locked, changed, and written at its end.

Rules read and change what the ledger gives them. Runs' rows are locked first, in order of id,
and the head of the list last, so no two writers wait for each other and positions are in
commit order. Sequences are given out as changes are entered, for the run is locked.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, bindparam, update

from trackside_journal import wire
from trackside_journal.bus import Notice
from trackside_journal.dialects import upsert
from trackside_protos.runs.v1 import run_pb2
from trackside_runs.estimates import elapsed_ms
from trackside_runs.record import RunRecord
from trackside_runs.silences import Silences
from trackside_runs.storage import (
    deletion,
    fact_tables,
    queries,
    rows,
    run_rows,
    run_store,
    scope_book,
    tables,
    task_book,
)
from trackside_runs.storage.agent_book import AgentBook
from trackside_runs.storage.bulk import insert_many
from trackside_runs.storage.figure_book import FigureBook
from trackside_runs.storage.notices import (
    AGENTS_TOPIC,
    DIRECTORY_TOPIC,
    REVOCATIONS_TOPIC,
    RUN_KIND,
    Entry,
    IsWatched,
    change_notices,
    seal_notices,
)
from trackside_runs.storage.part_book import PartBook, detail_row
from trackside_runs.storage.revocations import RevocationBook
from trackside_runs.storage.run_store import IDS_A_QUERY
from trackside_runs.storage.scope_book import ScopeBook
from trackside_runs.storage.task_book import TaskBook

_SEQUENCE: Final = 1
_RECEIVE_TIME: Final = 2
_TIME: Final = 3
_PRODUCER: Final = 4
_HEAD: Final = tables.LIST_HEAD
_ADVANCE: Final = (
    update(_HEAD).values(position=_HEAD.c.position + bindparam("count")).returning(_HEAD.c.position)
)
_CHANGE_COLUMNS: Final = ("position", "run_id", "sequence", "kind", "message")


def origin(producer_id: str = "", time: Timestamp | None = None) -> bytes:
    """Return where a change comes from, encoded: the producer, and when, by its clock."""
    encoded = b"" if time is None else wire.bytes_field(_TIME, time.SerializeToString())
    if producer_id:
        encoded += wire.bytes_field(_PRODUCER, producer_id.encode())
    return encoded


class Ledger:
    """One transaction's view of the runs that it has locked."""

    def __init__(self, connection: Connection, now_ms: int, silences: Silences) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.silences = silences
        self.agents = AgentBook(connection)
        self.revocations = RevocationBook(connection)
        self.advanced_parents: set[str] = set()
        """The parents whose children's progress is to be added up again."""
        self._now = Timestamp()
        self._now.FromMilliseconds(now_ms)
        self._stamp = wire.bytes_field(_RECEIVE_TIME, self._now.SerializeToString())
        self._records: dict[str, RunRecord] = {}
        self._tasks: dict[str, TaskBook] = {}
        self._scopes: dict[str, ScopeBook] = {}
        self._parts: dict[str, PartBook] = {}
        self._entries: list[Entry] = []
        self._announced: dict[str, RunRecord] = {}
        self._removed: dict[str, tuple[RunRecord, str]] = {}
        self._reindexed: dict[str, RunRecord] = {}
        self._figures = FigureBook(connection)

    # Runs.

    def lock(self, run_ids: Iterable[str]) -> None:
        """Lock runs and their parents; those that do not exist are left out."""
        known = self._records.keys() | self._removed.keys()
        wanted = set(run_ids) - known
        if not wanted:
            return
        wanted |= run_store.parents_of(self.connection, wanted) - known
        ordered = sorted(wanted)
        for start in range(0, len(ordered), IDS_A_QUERY):
            for record in run_store.load(self.connection, ordered[start : start + IDS_A_QUERY]):
                self._records[record.run_id] = record

    def find(self, run_id: str) -> RunRecord | None:
        """Return a run, locked, if it exists."""
        if run_id not in self._records:
            self.lock([run_id])
        return self._records.get(run_id)

    def get(self, run_id: str) -> RunRecord:
        """Return a run that is known to exist."""
        record = self.find(run_id)
        if record is None:
            message = f"Run {run_id} is gone within a transaction."
            raise LookupError(message)
        return record

    def add(self, record: RunRecord) -> None:
        """Enter a new run."""
        record.is_new = True
        record.touch()
        self._records[record.run_id] = record
        self.reindex(record)
        self.announce(record)

    @property
    def has_removed(self) -> bool:
        """Whether runs were removed, of which much is left to remove bit by bit."""
        return bool(self._removed)

    def run_id_of_key(self, external_key: str) -> str | None:
        """Return the run with an external key, in the store or in these books."""
        for record in self._records.values():
            if record.message.external_key == external_key:
                return record.run_id
        run_id = queries.run_id_of_key(self.connection, external_key)
        return run_id if run_id and run_id not in self._removed else None

    def open_children(self, parent: RunRecord) -> list[RunRecord]:
        """Return the children of a parent that have no final state, locked."""
        self.lock(queries.open_children(self.connection, parent.run_id))
        return [record for record in self._children_here(parent) if not record.is_final]

    def children(self, parent: RunRecord) -> list[RunRecord]:
        """Return all children of a parent, locked."""
        self.lock(queries.children(self.connection, parent.run_id))
        return list(self._children_here(parent))

    def was_deleted(self, run_id: str) -> bool:
        """Return whether there was a run of this id that was deleted."""
        if run_id in self._removed:
            return True
        return bool(run_id) and deletion.was_deleted(self.connection, run_id)

    def remove(self, record: RunRecord, requester: str) -> None:
        """Remove a run. Its message as it is now is the last that is told of it.

        Nothing else of this transaction finds it any more, or is written of it.
        """
        self.change_run(record)
        self.announce(record)
        run_id = record.run_id
        self._removed[run_id] = record, requester
        for books in (self._records, self._reindexed, self._tasks, self._scopes, self._parts):
            books.pop(run_id, None)
        self._figures.forget(run_id)

    def reindex(self, record: RunRecord) -> None:
        """Note that what filters look at beside the run's row has changed."""
        self._reindexed[record.run_id] = record

    def refigure(self, record: RunRecord) -> None:
        """Note that the figures of a run's series are about to change."""
        self._figures.open(record)

    def announce(self, record: RunRecord) -> None:
        """Note that what other services must know has changed."""
        self._announced[record.run_id] = record

    # Parts.

    def tasks(self, record: RunRecord) -> TaskBook:
        """Return the tasks of a run."""
        book = self._tasks.get(record.run_id)
        if book is None:
            book = self._tasks[record.run_id] = TaskBook(self.connection, record)
        return book

    def scopes(self, record: RunRecord) -> ScopeBook:
        """Return the scopes of a run."""
        book = self._scopes.get(record.run_id)
        if book is None:
            book = self._scopes[record.run_id] = ScopeBook(self.connection, record)
        return book

    def parts(self, record: RunRecord) -> PartBook:
        """Return the other parts of a run."""
        book = self._parts.get(record.run_id)
        if book is None:
            book = self._parts[record.run_id] = PartBook(self.connection, record)
        return book

    # Changes.

    def number(self, record: RunRecord) -> int:
        """Give out the sequence of the run's next change."""
        record.is_dirty = True
        record.message.sequence += 1
        return record.message.sequence

    def enter(
        self, record: RunRecord, sequence: int, kind: int, body: bytes, from_: bytes = b""
    ) -> None:
        """Enter a change of a part.

        Args:
            record: The run.
            sequence: Given out by `number`.
            kind: What changed: the number of a field of `RunChange`.
            body: That field's contents.
            from_: The change's `origin`.
        """
        self._entries.append(
            Entry(record, sequence, kind, self._change(sequence, kind, body, from_))
        )

    def change(self, record: RunRecord, kind: int, message: Message, from_: bytes) -> None:
        """Enter a change whose message has no sequence of its own."""
        self.enter(record, self.number(record), kind, message.SerializeToString(), from_)

    def change_run(self, record: RunRecord, from_: bytes = b"", *, extra: bytes = b"") -> None:
        """Enter the run's message as it is now as a change of its own.

        Args:
            record: The run.
            from_: The change's `origin`.
            extra: Encoded fields of a run that this change touched and lists do not show.
        """
        sequence = self.number(record)
        record.message.update_time.CopyFrom(self._now)
        self._note_elapsed(record.message)
        run = record.message.SerializeToString()
        record.encoded = sequence, run
        if record.is_touched:
            self._note_advance(record)
        record.is_touched = False
        change = self._change(sequence, RUN_KIND, run + extra, from_)
        self._entries.append(Entry(record, sequence, RUN_KIND, change, run))

    def close(self, is_watched: IsWatched) -> list[Notice]:
        """Write everything and return what the bus is to be told, in order."""
        for record in self._records.values():
            if record.is_touched:
                self.change_run(record)
        first = self._take_positions()
        self.revocations.write(first + len(self._entries))
        self._write_changes()
        self._write_removals()
        self._write_runs()
        task_book.write(self.connection, self._tasks.values())
        scope_book.write(self.connection, self._scopes.values())
        for book in self._parts.values():
            book.write()
        self.agents.write(first)
        return self._notices(first, is_watched) if first else []

    def _note_elapsed(self, run: run_pb2.Run) -> None:
        """Say how long a run has taken; who shows one at work lets it go on counting."""
        if run.HasField("start_time"):
            start, end = run.start_time.ToMilliseconds(), run.end_time.ToMilliseconds()
            run.elapsed_duration.FromMilliseconds(elapsed_ms(start, end, now_ms=self.now_ms))

    def _change(self, sequence: int, kind: int, body: bytes, from_: bytes) -> bytes:
        return b"".join(
            (
                wire.varint_field(_SEQUENCE, sequence),
                self._stamp,
                from_,
                wire.bytes_field(kind, body),
            )
        )

    def _note_advance(self, record: RunRecord) -> None:
        if record.message.parent_run_id and not record.is_ended:
            self.advanced_parents.add(record.message.parent_run_id)

    def _children_here(self, parent: RunRecord) -> Iterator[RunRecord]:
        """Yield the children that are locked, those that were just made among them."""
        for record in self._records.values():
            if record.message.parent_run_id == parent.run_id:
                yield record

    # Writing.

    def _take_positions(self) -> int:
        """Give every change its place in the list and return the first; locks the list's head.

        Revocations have the places behind the changes. Without either there is none: 0.
        """
        count = len(self._entries) + len(self.revocations)
        if not count:
            return 0
        last: int = self.connection.execute(_ADVANCE, {"count": count}).scalar_one()
        first = last - count + 1
        for position, entry in enumerate(self._entries, start=first):
            entry.position = entry.record.position = position
        return first

    def _write_changes(self) -> None:
        changes = [
            (e.position, e.record.run_id, e.sequence, e.kind, e.encoded) for e in self._entries
        ]
        insert_many(self.connection, tables.CHANGE, _CHANGE_COLUMNS, changes)

    def _write_removals(self) -> None:
        deletion.forget_runs(self.connection, list(self._removed))
        deletion.note_deleted(
            self.connection,
            [
                (run_id, requester, record.position)
                for run_id, (record, requester) in self._removed.items()
            ],
            now_ms=self.now_ms,
        )

    def _write_runs(self) -> None:
        dirty = [record for record in self._records.values() if record.is_dirty]
        run_store.write(
            self.connection, dirty, lambda r: self.silences.look_at_ms(r, now_ms=self.now_ms)
        )
        self._write_index(list(self._reindexed.values()))
        self._figures.write()
        details = [
            detail_row(record.run_id, self._parts[record.run_id].new_details)
            for record in dirty
            if record.is_new and record.run_id in self._parts
        ]
        if details:
            self.connection.execute(tables.RUN_DETAIL.insert(), details)
        if self._announced:
            announced = self._announced.values()
            self.connection.execute(
                upsert(self.connection, fact_tables.DIRECTORY),
                [rows.directory_row(record.message, record.position) for record in announced],
            )

    def _write_index(self, records: Sequence[RunRecord]) -> None:
        old = [record.run_id for record in records if not record.is_new]
        for table in (tables.RUN_TAG, tables.RUN_LABEL, tables.RUN_PARAMETER):
            for start in range(0, len(old), IDS_A_QUERY):
                ids = old[start : start + IDS_A_QUERY]
                self.connection.execute(table.delete().where(table.c.run_id.in_(ids)))
        messages = [record.message for record in records]
        for table, values in rows.index_rows(messages).items():
            if values:
                self.connection.execute(table.insert(), values)
        if messages:
            self.connection.execute(
                upsert(self.connection, tables.RUN_SEARCH),
                [run_rows.search_row(m) for m in messages],
            )

    def _notices(self, first: int, is_watched: IsWatched) -> list[Notice]:
        previous, last = first - 1, first - 1 + len(self._entries) + len(self.revocations)
        notices = change_notices(self._entries, previous, last, is_watched)
        notices += seal_notices(self._announced.values())
        if self._announced or self.revocations:
            notices.append(Notice(DIRECTORY_TOPIC, previous, last, None))
        if self.revocations:
            notices.append(Notice(REVOCATIONS_TOPIC, previous, last, None))
        if self.agents.has_work or self.agents.has_requests:
            notices.append(Notice(AGENTS_TOPIC, previous, last, None))
        return notices
