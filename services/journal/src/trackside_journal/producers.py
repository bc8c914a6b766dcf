"""The gate that every batch passes inside the committer's transaction, so that it counts once.

Batches that come before their predecessor are held here, unacknowledged, for ten seconds.
Windows are read under the lock on the run's head, so replicas and connections share them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from sqlalchemy import BigInteger, Connection, Select, Table, bindparam, select, tuple_
from sqlmodel import Field, SQLModel

from trackside_journal.committer import Ticket
from trackside_journal.dialects import upsert_rows
from trackside_journal.errors import BatchConflictError, BatchGapError, StaleEpochError
from trackside_journal.windows import EMPTY_CHECKSUMS, HOLD_SECONDS, ProducerWindow, Verdict
from trackside_serving.errors import ServiceError

_KEYS_A_QUERY: Final = 200
_REMEMBERED_WINDOWS: Final = 10_000
_KEY_COLUMNS: Final = ("run_id", "producer_id")
_WINDOW_COLUMNS: Final = ("epoch", "through", "checksums")


class ProducerColumns(SQLModel):
    """The columns of a service's `producer` table: what it remembers of each producer."""

    run_id: str = Field(primary_key=True, max_length=16)
    producer_id: str = Field(primary_key=True, max_length=64)
    epoch: int = Field(default=1, sa_type=BigInteger)
    through: int = Field(default=0, sa_type=BigInteger)
    checksums: bytes = Field(default=EMPTY_CHECKSUMS)


@dataclass(slots=True, frozen=True)
class BatchKey:
    """What identifies a batch, and a checksum of its bytes."""

    run_id: str
    producer_id: str
    epoch: int
    sequence: int
    checksum: int


class BatchWork(Protocol):
    """A work that carries a batch."""

    @property
    def key(self) -> BatchKey:
        """Which batch."""
        ...


@dataclass(slots=True, frozen=True)
class Stored:
    """The result of a batch: everything of its producer up to `through` is durable."""

    through: int
    duplicate: bool


B = TypeVar("B", bound=BatchWork)
ProducerKey = tuple[str, str]


@dataclass(slots=True)
class _Held(Generic[B]):
    ticket: Ticket[B]
    since: float

    @property
    def place(self) -> tuple[int, int]:
        key = self.ticket.work.key
        return key.epoch, key.sequence


@dataclass(slots=True)
class _Passage(Generic[B]):
    """One transaction's way through the gate: judges batches and holds what came too early."""

    windows: dict[ProducerKey, ProducerWindow]
    held: dict[ProducerKey, list[_Held[B]]]
    now: float
    take: Callable[[Ticket[B]], object | None]
    settle: Callable[[Ticket[B], object], None]

    def judge(self, ticket: Ticket[B], since: float) -> None:
        key = ticket.work.key
        producer = (key.run_id, key.producer_id)
        window = self.windows[producer]
        match window.judge(epoch=key.epoch, sequence=key.sequence, checksum=key.checksum):
            case Verdict.TAKE:
                self._take(ticket, key, window)
                self.release(producer)
            case Verdict.DUPLICATE:
                self.settle(ticket, Stored(window.through, duplicate=True))
            case Verdict.HOLD if self.now - since <= HOLD_SECONDS:
                self.held.setdefault(producer, []).append(_Held(ticket, since))
            case verdict:
                self.settle(ticket, _refusal(verdict, key, window))

    def release(self, producer: ProducerKey) -> None:
        """Judge again what is held of a producer."""
        waiting = self.held.pop(producer, None)
        if waiting:
            for held in sorted(waiting, key=lambda held: held.place):
                self.judge(held.ticket, held.since)

    def _take(self, ticket: Ticket[B], key: BatchKey, window: ProducerWindow) -> None:
        refusal = self.take(ticket)
        if refusal is None:
            window.take(epoch=key.epoch, sequence=key.sequence, checksum=key.checksum)
            self.settle(ticket, Stored(window.through, duplicate=False))
        else:
            self.settle(ticket, refusal)


class ProducerGate(Generic[B]):
    """Decides on batches; lives in the committer's thread."""

    def __init__(self, table: Table, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._table = table
        self._clock = clock
        self._held: dict[ProducerKey, list[_Held[B]]] = {}
        self._carried: list[Ticket[B]] = []
        self._remembered: dict[ProducerKey, ProducerWindow] = {}
        self._query: Select[str, str, int, int, bytes] = select(
            table.c.run_id, table.c.producer_id, *(table.c[name] for name in _WINDOW_COLUMNS)
        ).where(tuple_(table.c.run_id, table.c.producer_id).in_(bindparam("keys", expanding=True)))

    @property
    def is_holding(self) -> bool:
        """Whether batches wait for their predecessors."""
        return bool(self._held)

    def held_run_ids(self) -> set[str]:
        """Return the runs whose batches wait here."""
        return {run_id for run_id, _ in self._held}

    def pass_through(
        self,
        connection: Connection,
        tickets: Sequence[Ticket[B]],
        take: Callable[[Ticket[B]], object | None],
        settle: Callable[[Ticket[B], object], None],
    ) -> None:
        """Judge batches, and held ones that may now go, in order.

        `take` stores the contents of one batch and returns None, or the error by which it
        is refused: then its number stays free. The runs' heads must be locked before.
        """
        waited = list(self._held)
        self._carried = self._held_tickets()
        keys = {(t.work.key.run_id, t.work.key.producer_id) for t in tickets}
        windows = self._load(connection, keys.union(waited))
        passage = _Passage(windows, self._held, self._clock(), take, settle)
        for ticket in tickets:
            passage.judge(ticket, passage.now)
        for producer in waited:
            passage.release(producer)
        self._store(connection, windows)

    def rolled_back(self) -> Sequence[Ticket[B]]:
        """Give up everything that was held before the failed transaction or in it."""
        tickets = dict.fromkeys([*self._carried, *self._held_tickets()])
        self._held, self._carried, self._remembered = {}, [], {}
        return list(tickets)

    def forget(self, run_id: str) -> None:
        """Forget what is in memory of a run whose rows were deleted; committer's thread only."""
        self._remembered = {key: w for key, w in self._remembered.items() if key[0] != run_id}

    def _held_tickets(self) -> list[Ticket[B]]:
        return [held.ticket for waiting in self._held.values() for held in waiting]

    def _load(
        self, connection: Connection, keys: set[ProducerKey]
    ) -> dict[ProducerKey, ProducerWindow]:
        windows = {key: self._remembered.get(key) or ProducerWindow() for key in keys}
        ordered = sorted(keys.difference(self._remembered))
        for start in range(0, len(ordered), _KEYS_A_QUERY):
            some = {"keys": ordered[start : start + _KEYS_A_QUERY]}
            for row in connection.execute(self._query, some):
                windows[row[0], row[1]] = ProducerWindow(row[2], row[3], row[4])
        if connection.dialect.name == "sqlite":
            self._remember(windows)
        return windows

    def _remember(self, windows: dict[ProducerKey, ProducerWindow]) -> None:
        """Spare the next transaction the reading, where there is no other writer."""
        if len(self._remembered) > _REMEMBERED_WINDOWS:
            self._remembered.clear()
        self._remembered.update(windows)

    def _store(self, connection: Connection, windows: dict[ProducerKey, ProducerWindow]) -> None:
        rows = [
            (*key, window.epoch, window.through, bytes(window.checksums))
            for key, window in windows.items()
            if window.changed
        ]
        upsert_rows(connection, self._table, (*_KEY_COLUMNS, *_WINDOW_COLUMNS), rows)
        for window in windows.values():
            window.changed = False


def _refusal(verdict: Verdict, key: BatchKey, window: ProducerWindow) -> ServiceError:
    if verdict is Verdict.CONFLICT:
        return BatchConflictError(sequence=key.sequence)
    if verdict is Verdict.STALE:
        return StaleEpochError(sequence=key.sequence, epoch=window.epoch)
    return BatchGapError(sequence=key.sequence, expected=window.through_in(key.epoch) + 1)
