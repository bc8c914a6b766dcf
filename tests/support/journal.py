"""A least service on the journal: it stores the bytes of batches as entries of a run."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Connection, LargeBinary, MetaData, Table, insert, select
from sqlmodel import Field, SQLModel
from typing_extensions import override

from trackside_journal.bus import Bus
from trackside_journal.checksums import crc32c
from trackside_journal.committer import Applier, Committer, Settled, Ticket
from trackside_journal.database import Database
from trackside_journal.heads import HeadColumns, lock_heads, read_heads, store_heads
from trackside_journal.notices import Notice
from trackside_journal.producers import BatchKey, ProducerColumns, ProducerGate
from trackside_journal.splice import Page

RUN = "0123456789abcdef"
OTHER_RUN = "fedcba9876543210"
PAGE_ENTRIES = 7


class EntryTable(SQLModel):
    metadata = MetaData()


class HeadRow(HeadColumns, EntryTable, table=True):
    __tablename__: Any = "head"


class ProducerRow(ProducerColumns, EntryTable, table=True):
    __tablename__: Any = "producer"

    closed: bool | None = None
    """A column of the service's own."""


class EntryRow(EntryTable, table=True):
    __tablename__: Any = "entry"

    run_id: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    payload: bytes = Field(sa_type=LargeBinary)


def table_of(row: type[SQLModel]) -> Table:
    """Return the table of a row class, with its type."""
    table: Any = row.__dict__["__table__"]
    return table


HEADS = table_of(HeadRow)
PRODUCERS = table_of(ProducerRow)
ENTRIES = table_of(EntryRow)


@dataclass(frozen=True, slots=True)
class EntryBatch:
    """A batch of one entry."""

    key: BatchKey
    payload: bytes


def batch(
    sequence: int,
    payload: bytes | None = None,
    *,
    run_id: str = RUN,
    producer_id: str = "producer",
    epoch: int = 1,
) -> EntryBatch:
    """Return a batch; without a payload one that names its producer, epoch and number."""
    content = f"{producer_id}/{epoch}/{sequence};".encode() if payload is None else payload
    return EntryBatch(BatchKey(run_id, producer_id, epoch, sequence, crc32c(content)), content)


@dataclass(slots=True)
class EntryApplier(Applier[EntryBatch]):
    """Stores batches; refuses, or is poisoned by, those that a test says."""

    clock: Callable[[], float] = lambda: 0.0
    refuse: Callable[[EntryBatch], Exception | None] = lambda _: None
    """Its answer is the result of the batch."""
    poison: Callable[[EntryBatch], Exception | None] = lambda _: None
    """Its answer is raised."""
    bus: Bus | None = None
    groups: list[int] = field(default_factory=list)
    gate: ProducerGate[EntryBatch] = field(init=False)

    def __post_init__(self) -> None:
        self.gate = ProducerGate(PRODUCERS, clock=self.clock)

    @property
    @override
    def wants_tick(self) -> bool:
        return self.gate.is_holding

    @override
    def rolled_back(self) -> Sequence[Ticket[EntryBatch]]:
        return self.gate.rolled_back()

    @override
    def apply(
        self, connection: Connection, tickets: Sequence[Ticket[EntryBatch]]
    ) -> Settled[EntryBatch]:
        self.groups.append(len(tickets))
        settled: Settled[EntryBatch] = Settled()
        run_ids = {ticket.work.key.run_id for ticket in tickets} | self.gate.held_run_ids()
        heads = lock_heads(connection, HEADS, run_ids)
        notices: list[Notice] = []

        def take(ticket: Ticket[EntryBatch]) -> Exception | None:
            poison = self.poison(ticket.work)
            if poison is not None:
                raise poison
            refusal = self.refuse(ticket.work)
            if refusal is None:
                run_id, payload = ticket.work.key.run_id, ticket.work.payload
                first = heads[run_id].advance(1)
                row = {"run_id": run_id, "sequence": first, "payload": payload}
                connection.execute(insert(ENTRIES), row)
                notices.append(Notice(run_id, first - 1, first, payload))
            return refusal

        self.gate.pass_through(
            connection,
            tickets,
            take,
            lambda ticket, result: settled.results.append((ticket, result)),
        )
        store_heads(connection, HEADS, heads.values())
        if self.bus is not None and notices:
            bus = self.bus
            settled.after_commit.append(lambda: bus.publish(notices))
        return settled


class EntrySource:
    """The entries of one run, as a watch reads them: a few at a time."""

    def __init__(self, database: Database, run_id: str = RUN) -> None:
        self._database = database
        self._run_id = run_id
        self.reads = 0
        self.ended = False

    async def read(self, after: int) -> Page:
        self.reads += 1
        return await self._database.read(lambda connection: self._page(connection, after))

    def _page(self, connection: Connection, after: int) -> Page:
        query = (
            select(ENTRIES.c.sequence, ENTRIES.c.payload)
            .where(ENTRIES.c.run_id == self._run_id, ENTRIES.c.sequence > after)
            .order_by(ENTRIES.c.sequence)
            .limit(PAGE_ENTRIES)
        )
        rows = connection.execute(query).all()
        head = read_heads(connection, HEADS, [self._run_id]).get(self._run_id, 0)
        last: int = rows[-1][0] if rows else after
        return Page(b"".join(row[1] for row in rows), last, max(head, last), self.ended)


def stored(database: Database, run_id: str = RUN) -> list[bytes]:
    """Return the payloads of a run's entries in order; their sequences must be dense."""
    query = select(ENTRIES.c.sequence, ENTRIES.c.payload).where(ENTRIES.c.run_id == run_id)
    rows = database.read_now(lambda connection: connection.execute(query).all())
    found = {row[0]: row[1] for row in rows}
    head = database.read_now(lambda connection: read_heads(connection, HEADS, [run_id]))
    assert sorted(found) == list(range(1, head.get(run_id, 0) + 1))
    return [found[sequence] for sequence in sorted(found)]


async def committed(committer: Committer[EntryBatch], *works: EntryBatch) -> list[object]:
    """Commit works that wait together and return their results, or the errors."""
    return await asyncio.gather(*map(committer.commit, works), return_exceptions=True)
