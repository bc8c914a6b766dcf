"""Sends batches through a gate, one transaction at a time, without a committer's thread."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from support.journal import EntryApplier, EntryBatch
from trackside_journal.checksums import crc32c
from trackside_journal.committer import Ticket
from trackside_journal.database import Database


class RollBackError(Exception):
    pass


class Door:
    """A gate and its transactions, one at a time, with what became of each ticket."""

    def __init__(self, database: Database) -> None:
        self.now = 0.0
        self.applier = EntryApplier(clock=lambda: self.now)
        self.results: dict[Ticket[EntryBatch], object] = {}
        self.tickets: list[Ticket[EntryBatch]] = []
        self._database = database

    def send(self, *works: EntryBatch) -> list[object]:
        """Commit works in one transaction; the result of one that is held is None."""
        tickets = self._tickets(works)
        with self._database.writing() as connection:
            settled = self.applier.apply(connection, tickets)
        for ticket, result in settled.results:
            assert ticket not in self.results
            self.results[ticket] = result
        return [self.results.get(ticket) for ticket in tickets]

    def fail(self, *works: EntryBatch) -> Sequence[Ticket[EntryBatch]]:
        """Have a transaction with these works fail at its end; return what is given up."""
        tickets = self._tickets(works)
        with suppress(RollBackError), self._database.writing() as connection:
            self.applier.apply(connection, tickets)
            raise RollBackError
        return list(dict.fromkeys([*self.applier.rolled_back(), *tickets]))

    def _tickets(self, works: Sequence[EntryBatch]) -> list[Ticket[EntryBatch]]:
        tickets = [Ticket(work, lambda _: None) for work in works]
        self.tickets += tickets
        return tickets


def other_bytes(work: EntryBatch) -> EntryBatch:
    payload = work.payload + b"!"
    return replace(work, key=replace(work.key, checksum=crc32c(payload)), payload=payload)
