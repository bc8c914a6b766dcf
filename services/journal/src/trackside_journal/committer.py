"""Group commit: one thread that drains what is waiting, stores it in one transaction, and says so.

A ticket is settled after the commit that stored its work, never before, and exactly once. Groups
form by themselves while a commit is under way; see `trackside_journal.pace` for when they do not.
A transaction that fails for a reason of one work is tried again work by work, so that a poisonous
one hurts nobody else.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from trackside_journal.database import Database
from trackside_journal.errors import StorageFullError, StoreUnavailableError
from trackside_journal.pace import Pace
from trackside_serving.errors import ServiceError, ShuttingDownError

_LOG: Final = logging.getLogger(__name__)
_GROUP_LIMIT: Final = 256
_GROUP_BYTES: Final = 32 << 20
_TICK_SECONDS: Final = 0.25

W = TypeVar("W")


@dataclass(slots=True, eq=False)
class Ticket(Generic[W]):
    """One work waiting to be committed. `settle` is called once, in the event loop."""

    work: W
    settle: Callable[[object], None]
    """Takes the result, or the exception that tells why nothing was stored."""
    size: int = 0
    sender: int = 0
    """Tells senders apart that do not wait for each other; 0: one that must not wait at all."""
    is_settled: bool = False
    """Whether its result is known; set by the committer's thread alone."""


@dataclass(slots=True)
class Settled(Generic[W]):
    """What one transaction achieved."""

    results: list[tuple[Ticket[W], object]] = field(default_factory=list)
    """The tickets that are done, with their result or exception. Others are held."""
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """What to do in the event loop once it is durable, such as telling the bus, in order."""


class RefusalError(Exception):
    """Raised by an applier to take everything back because of one work.

    The works are then tried one by one; the one that is refused again gets `error`.
    """

    def __init__(self, error: ServiceError) -> None:
        super().__init__(error.message)
        self.error = error


class Applier(Protocol[W]):
    """What a service does with its works, inside the committer's transaction and thread."""

    def apply(self, connection: Connection, tickets: Sequence[Ticket[W]]) -> Settled[W]:
        """Store works and return what is done. Called in the committer's thread only.

        A work that is refused gets a ServiceError as its result and changes nothing. An
        exception rolls everything back; see `RefusalError`. Called with no tickets when
        `wants_tick`.
        """
        ...

    def rolled_back(self) -> Sequence[Ticket[W]]:
        """Forget what the failed transaction did, and give up every ticket held so far."""
        ...

    @property
    def wants_tick(self) -> bool:
        """Whether `apply` is to be called soon though nothing new comes."""
        ...


class Committer(Generic[W]):
    """The one writer of a store. Start and close it in the event loop."""

    def __init__(self, database: Database, applier: Applier[W], *, name: str) -> None:
        self._database = database
        self._applier = applier
        self._queue: queue.SimpleQueue[Ticket[W] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name}-committer", daemon=True)
        self._pace = Pace()
        self._closing = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Begin to commit. Results are delivered in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, ticket: Ticket[W]) -> None:
        """Put a ticket in the queue; callable from any thread."""
        with self._closing:
            if not self._closed:
                self._queue.put(ticket)
                return
        ticket.is_settled = True
        self._loop_required.call_soon_threadsafe(ticket.settle, ShuttingDownError())

    async def commit(self, work: W) -> object:
        """Commit one work and return its result.

        Raises:
            ServiceError: It was refused or could not be stored. A caller that is cancelled
                does not know whether it was stored.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def settle(result: object) -> None:
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.submit(Ticket(work, settle))
        return await future

    async def close(self) -> None:
        """Commit what is waiting, give up what is held, and end the thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        if self._loop is not None:
            await self._loop.run_in_executor(None, self._thread.join)

    @property
    def _loop_required(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            message = "The committer was not started."
            raise RuntimeError(message)
        return self._loop

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._next_group()
            if group or self._applier.wants_tick:
                self._commit(group)
        self._conclude([(ticket, ShuttingDownError()) for ticket in self._applier.rolled_back()])

    def _next_group(self) -> tuple[list[Ticket[W]], bool]:
        try:
            ticket = self._queue.get(timeout=_TICK_SECONDS if self._applier.wants_tick else None)
        except queue.Empty:
            return [], True
        if ticket is not None and ticket.sender:
            self._pace.wait(ticket.sender)
        group: list[Ticket[W]] = []
        size = 0
        while ticket is not None:
            group.append(ticket)
            size += ticket.size
            if len(group) >= _GROUP_LIMIT or size >= _GROUP_BYTES:
                return group, True
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _commit(self, group: Sequence[Ticket[W]]) -> None:
        error = self._try(group)
        if error is not None:
            involved = self._involved(group)
            if _is_everybodys(error):
                self._conclude([(ticket, error) for ticket in involved])
            else:
                self._isolate(involved)

    def _try(self, group: Sequence[Ticket[W]]) -> Exception | None:
        """Store a group and return None, or return why nothing was stored."""
        try:
            with self._database.writing() as connection:
                settled = self._applier.apply(connection, group)
        except Exception as error:  # noqa: BLE001 - whatever one work does must not end the writer
            return error
        self._conclude(settled.results, settled.after_commit)
        return None

    def _isolate(self, tickets: Sequence[Ticket[W]]) -> None:
        """Commit tickets one by one, so that only those that cannot be committed fail.

        A transaction may also touch works that the applier holds from an earlier one. So the
        ticket of a failed transaction is tried once more, when nothing is held, before it is
        blamed; those that were held come after it.
        """
        waiting = deque(tickets)
        suspects: set[Ticket[W]] = set()
        while waiting:
            ticket = waiting.popleft()
            error = self._try([ticket])
            if error is None:
                continue
            others = [other for other in self._involved([ticket]) if other is not ticket]
            if _is_everybodys(error):
                self._conclude([(other, error) for other in [ticket, *others, *waiting]])
                return
            if others and ticket not in suspects:
                suspects.add(ticket)
                waiting.extendleft([*reversed(others), ticket])
            else:
                self._conclude([(ticket, _blame(error))])
                waiting.extendleft(reversed(others))

    def _involved(self, group: Sequence[Ticket[W]]) -> list[Ticket[W]]:
        """Return the undecided tickets of a failed transaction: those held longest first."""
        tickets = dict.fromkeys([*self._applier.rolled_back(), *group])
        return [ticket for ticket in tickets if not ticket.is_settled]

    def _conclude(
        self,
        results: Sequence[tuple[Ticket[W], object]],
        after_commit: Sequence[Callable[[], None]] = (),
    ) -> None:
        news: list[tuple[Ticket[W], object]] = []
        for ticket, result in results:
            if not ticket.is_settled:
                ticket.is_settled = True
                news.append((ticket, result))
        if news or after_commit:
            self._loop_required.call_soon_threadsafe(_deliver, news, after_commit)


def _is_everybodys(error: Exception) -> bool:
    return isinstance(error, (StoreUnavailableError, StorageFullError))


def _blame(error: Exception) -> Exception:
    """Return what the work gets that could not be committed even alone."""
    if isinstance(error, RefusalError):
        return error.error
    if not isinstance(error, ServiceError):
        _LOG.error("A work could not be committed.", exc_info=error)
    return error


def _deliver(
    results: Sequence[tuple[Ticket[W], object]], after_commit: Sequence[Callable[[], None]]
) -> None:
    for ticket, result in results:
        ticket.settle(result)
    for action in after_commit:
        action()
