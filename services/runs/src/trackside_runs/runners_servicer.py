"""RunnersService: the agents' door.

An agent's connection claims runs whenever there are some and it has room, hands over what
was claimed until the agent says that it keeps it, and what is asked of its runs until the
agent acknowledges it. All of it is in the store, so nothing is forgotten with a connection.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_journal.tasks import cancel
from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runners.v1.runners_service_pb2 import (
    ConnectResponse,
    DeletionNoted,
    DeletionReport,
)
from trackside_runs import claims, output_deletion
from trackside_runs.agent_lines import AgentLine, AgentLines, Read
from trackside_runs.agent_news import AgentNews, Handed
from trackside_runs.claims import Connected
from trackside_runs.registry import Change, Work
from trackside_runs.requests import require_none
from trackside_runs.storage.ledger import Ledger
from trackside_runs.validation.requests import check_deletion_report, check_hello
from trackside_serving.calls import Call, Implementation, parse
from trackside_serving.clock import SERVERS_APART_MS, ClockMs
from trackside_serving.errors import InvalidFieldError, PartNotFoundError

_LOOK_SECONDS: Final = 2.0
"""How often an agent's connection looks for what other replicas have stored."""

_LARGEST_PIECE: Final = 256 << 10
_LAST: Final = frozenset({"end", "refusal", None})


@dataclass(slots=True, eq=False)
class _Connection:
    """One agent's open connection."""

    connected: Connected
    host: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_due: bool = True
    """Whether the store is to be asked what there is for the agent."""
    handed: Handed = field(default_factory=Handed)
    noted: deque[str] = field(default_factory=deque[str])
    """The deletions whose end was stored, and the agent is to be told so."""

    def look(self) -> None:
        """Ask the store now what there is."""
        self.is_due = True
        self.wake.set()


class RunnersServicer:
    """Serves `trackside.runners.v1.RunnersService`."""

    def __init__(
        self,
        *,
        database: Database,
        committer: Committer[Work],
        news: AgentNews,
        lines: AgentLines,
        clock_ms: ClockMs,
        lease_seconds: float,
    ) -> None:
        self._database = database
        self._committer = committer
        self._news = news
        self._lines = lines
        self._clock_ms = clock_ms
        self._lease_seconds = lease_seconds
        self._connections: set[_Connection] = set()

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return runners_service_pb2.DESCRIPTOR.services_by_name["RunnersService"]

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {
            "Connect": self.connect,
            "SendFile": self.send_file,
            "ListRunners": self.list_runners,
        }

    def wake(self) -> None:
        """Let every connection look for runs and requests now."""
        for connection in self._connections:
            connection.look()

    async def connect(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        hello = parse(runners_service_pb2.ConnectRequest, await anext(requests, b"")).hello
        require_none(check_hello(hello))
        connected = Connected(
            hello.agent_id, self._lines.new_connection_id(), self._lines.address()
        )
        connection = _Connection(connected, hello.host)
        await self._commit(lambda ledger: claims.connect(ledger, connected, hello))
        self._connections.add(connection)
        self.wake()  # an earlier connection of this agent is to find out
        reader = asyncio.create_task(self._read(requests, connection))
        line = AgentLine(
            agent_id=hello.agent_id,
            host=hello.host,
            caller=call.caller,
            wake=connection.wake.set,
        )
        try:
            # In the order in which they were taken in: of an agent's connections the latest counts.
            with self._lines.attached(line):
                welcome = runners_service_pb2.Welcome()
                welcome.lease_duration.FromMilliseconds(round(self._lease_seconds * 1000))
                yield runners_service_pb2.ConnectResponse(welcome=welcome).SerializeToString()
                while not reader.done() and not call.draining.is_set():
                    for response in _waiting(line, connection):
                        yield response.SerializeToString()
                    if connection.is_due:
                        connection.is_due = False
                        for response in await self._told(connection):
                            yield response.SerializeToString()
                    await _woken(connection)
                for response in _waiting(line, connection):  # what came right before the end
                    yield response.SerializeToString()
            if reader.done():
                reader.result()
        finally:
            self._connections.discard(connection)
            await cancel(reader)  # its error was raised above, or nobody is left to be told

    async def send_file(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        first = parse(runners_service_pb2.SendFileRequest, await anext(requests, b""))
        read = self._lines.join(first.read_id, call.caller)
        if read is None:
            raise PartNotFoundError("Nobody waits for this read here.")
        taking = asyncio.create_task(_take(first, requests, read))
        leaving = asyncio.create_task(read.left.wait())
        try:
            while not (taking.done() or leaving.done()):
                await _either(taking, leaving, read.moved)
                if read.moved.is_set():
                    read.moved.clear()
                    answer = runners_service_pb2.SendFileResponse(taken_count=read.taken_count)
                    yield answer.SerializeToString()
            if taking.done():
                taking.result()
        finally:
            read.end()
            await cancel(taking, leaving)

    async def list_runners(
        self, request: runners_service_pb2.ListRunnersRequest, call: Call
    ) -> runners_service_pb2.ListRunnersResponse:
        del request, call
        rows = await self._database.read(claims.list_runners)
        response = runners_service_pb2.ListRunnersResponse()
        for row in rows:
            age_ms = self._clock_ms() - row["heartbeat_ms"]
            runner = response.runners.add(
                name=row["name"],
                agent_id=row["agent_id"],
                host=row["host"],
                connected=-SERVERS_APART_MS < age_ms < self._lease_seconds * 1000,
                capacity=row["capacity"],
                active_count=row["active_count"],
                fault=row["fault"],
                version=row["version"],
            )
            runner.heartbeat_time.FromMilliseconds(row["heartbeat_ms"])
        return response

    async def _read(self, requests: AsyncIterator[bytes], connection: _Connection) -> None:
        connected = connection.connected
        try:
            async for raw in requests:
                request = parse(runners_service_pb2.ConnectRequest, raw)
                match request.WhichOneof("request"):
                    case "launch_stored":
                        run_id = request.launch_stored.run_id
                        await self._commit(
                            lambda ledger, run_id=run_id: claims.store_launch(
                                ledger, connected, run_id
                            )
                        )
                    case "deletion":
                        await self._note_deletion(connection, request.deletion)
                    case _:
                        await self._commit(lambda ledger: claims.renew(ledger, connected))
        finally:
            connection.wake.set()

    async def _note_deletion(self, connection: _Connection, told: DeletionReport) -> None:
        require_none(check_deletion_report(told))
        connected = connection.connected

        def make(ledger: Ledger) -> None:
            claims.renew(ledger, connected)
            output_deletion.note(ledger, connected.agent_id, connection.host, told)

        await self._committer.commit(Change([told.run_id], make))
        if told.HasField("result"):
            connection.noted.append(told.request_id)
            connection.wake.set()

    async def _told(self, connection: _Connection) -> list[Message]:
        """Return what the agent has not been handed on this connection."""
        news = await self._news.of(connection.connected, connection.handed)
        if news.is_more_claimable:
            connection.look()
        return news.messages

    async def _commit(self, make: Callable[[Ledger], object]) -> object:
        return await self._committer.commit(Change((), make))


def _waiting(line: AgentLine, connection: _Connection) -> Iterator[ConnectResponse]:
    """Yield what the agent is to be told that is in no store."""
    while line.asks:
        yield ConnectResponse(read=line.asks.popleft())
    while connection.noted:
        yield ConnectResponse(deletion_noted=DeletionNoted(request_id=connection.noted.popleft()))


async def _either(
    one: asyncio.Task[object], other: asyncio.Task[object], event: asyncio.Event
) -> None:
    """Wait until one of two tasks is done or an event is set."""
    happening = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((one, other, happening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(happening)


async def _woken(connection: _Connection) -> None:
    """Wait until there is something to do, or it is time to look whether there is."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            await connection.wake.wait()
    except TimeoutError:
        connection.is_due = True
    connection.wake.clear()


async def _take(
    first: runners_service_pb2.SendFileRequest, requests: AsyncIterator[bytes], read: Read
) -> None:
    """Hand a sent file over, piece by piece, to the end or until the agent goes away."""
    piece = first
    while True:
        if len(piece.data) > _LARGEST_PIECE:
            raise InvalidFieldError.of("data", f"is longer than {_LARGEST_PIECE} bytes")
        await read.put(piece)
        raw = b"" if piece.WhichOneof("request") in _LAST else await anext(requests, b"")
        if not raw:
            return
        piece = parse(runners_service_pb2.SendFileRequest, raw)
