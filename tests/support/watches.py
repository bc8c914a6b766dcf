"""A record in memory, and watchers of it that write down what they were given."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from support.conditions import until
from trackside_journal.fanout import Hub
from trackside_journal.notices import Notice
from trackside_journal.pieces import Piece
from trackside_journal.splice import Page, splice

TOPIC = "0123456789abcdef"


def entries(first: int, last: int) -> bytes:
    """Return what is stored from one sequence to another, both included."""
    return b"".join(b"%d;" % sequence for sequence in range(first, last + 1))


def notice(previous: int, last: int, *, with_payload: bool = True) -> Notice:
    payload = entries(previous + 1, last) if with_payload else None
    return Notice(TOPIC, previous, last, payload)


@dataclass(slots=True)
class Record:
    """A source of so many entries, a few to a page."""

    head: int = 0
    ended: bool = False
    page_entries: int = 5
    reads: list[int] = field(default_factory=list)

    async def read(self, after: int) -> Page:
        self.reads.append(after)
        head, ended = self.head, self.ended
        await asyncio.sleep(0)
        last = min(head, after + self.page_entries)
        return Page(entries(after + 1, last), last, head, ended)


@dataclass(slots=True)
class Watcher:
    """Follows a topic in a task of its own."""

    pieces: AsyncIterator[Piece]
    given: list[Piece] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    @property
    def text(self) -> bytes:
        """Everything that was given, joined."""
        return b"".join(piece.payload for piece in self.given)

    @property
    def position(self) -> int:
        return self.given[-1].position if self.given else -1

    def start(self) -> None:
        self.task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, position: int) -> None:
        """Wait until everything up to a position was given."""
        await until(lambda: self.position >= position)

    async def _follow(self) -> None:
        async for piece in self.pieces:
            self.given.append(piece)


def watcher(record: Record, hub: Hub, position: int = 0, *, announce: bool = True) -> Watcher:
    """Return a watcher that has begun."""
    watcher = Watcher(splice(record, hub, TOPIC, position, announce=announce))
    watcher.start()
    return watcher


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)
