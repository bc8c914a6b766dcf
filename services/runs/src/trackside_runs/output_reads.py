"""Reading what a run published: asks the run's agent, and hands on what it sends.

An agent is connected to one replica; another one hands the read on to that.
Only what is recorded of the run is read, by the path under which it is. What is there now is
held against the record: another size, or another version than the caller has begun with, ends
the read before the first byte.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_journal.tasks import closing
from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runners.v1.runners_service_pb2 import FileRefusal, SendFileRequest
from trackside_protos.runs.v1 import output_pb2, run_pb2, runs_service_pb2
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputResponse
from trackside_runs import changes
from trackside_runs.agent_lines import AgentLines, Read
from trackside_runs.errors import (
    AgentAwayError,
    AgentElsewhereError,
    NoReaderError,
    OffsetBeyondEndError,
    OutputChangedError,
    OutputGoneError,
    OutputNotRegularError,
    OutputUnreadableError,
)
from trackside_runs.peers import Peers
from trackside_runs.registry import Change, Work
from trackside_runs.requests import require_none
from trackside_runs.storage import fact_tables, queries
from trackside_runs.storage.ledger import Ledger
from trackside_runs.validation.requests import check_reading
from trackside_serving.calls import Call
from trackside_serving.clock import ClockMs
from trackside_serving.errors import PartNotFoundError, ServiceError
from trackside_serving.escaping import escaped

OPEN_SECONDS: Final = 30.0
"""How long an agent may take to begin to send."""

PIECE_SECONDS: Final = 60.0
"""How long an agent that has begun may take over one piece."""

_LONGEST_WORD: Final = 200
_Kind: Final = runners_service_pb2.FileRefusalKind
_REFUSALS: Final[dict[int, type[ServiceError]]] = {
    _Kind.FILE_REFUSAL_KIND_GONE: OutputGoneError,
    _Kind.FILE_REFUSAL_KIND_NOT_REGULAR: OutputNotRegularError,
    _Kind.FILE_REFUSAL_KIND_UNREADABLE: OutputUnreadableError,
    _Kind.FILE_REFUSAL_KIND_CHANGED: OutputChangedError,
    _Kind.FILE_REFUSAL_KIND_UNSUPPORTED: NoReaderError,
    _Kind.FILE_REFUSAL_KIND_UNAVAILABLE: AgentAwayError,
}


@dataclass(frozen=True, slots=True)
class _Source:
    """What is asked for, what is recorded of it, and who can read it."""

    request: runs_service_pb2.ReadOutputRequest
    output: output_pb2.Output
    agent_id: str


class OutputReads:
    """Serves reads of outputs."""

    def __init__(
        self,
        database: Database,
        committer: Committer[Work],
        lines: AgentLines,
        peers: Peers,
        *,
        clock_ms: ClockMs,
        lease_seconds: float,
    ) -> None:
        self._database = database
        self._committer = committer
        self._lines = lines
        self._peers = peers
        self._clock_ms = clock_ms
        self._lease_ms = lease_seconds * 1000
        self._began_ms = clock_ms()

    async def stream(
        self, request: runs_service_pb2.ReadOutputRequest, run: run_pb2.Run, call: Call
    ) -> AsyncGenerator[bytes]:
        """Yield what is asked for, encoded, to a caller who may see the run.

        Closed or cancelled, it lets the agent stop reading.

        Raises:
            ServiceError: As the schema says.
        """
        require_none(check_reading(request))
        source = await self._source(request)
        peer = await self._peer_of(source)
        reading = self._peers.read(peer, request, call) if peer else self._read(source, run, call)
        async with closing(reading) as responses:
            async for response in responses:
                yield response

    async def _read(self, source: _Source, run: run_pb2.Run, call: Call) -> AsyncGenerator[bytes]:
        """Yield what the agent sends that is connected here."""
        request = source.request
        ask = runners_service_pb2.FileRead(
            run_id=run.run_id,
            runner=run.runner,
            location=source.output.location or source.output.path,
            member=request.member,
            offset=request.offset,
            length=request.length,
        )
        with self._lines.reading(source.agent_id, ask, call.caller.subject) as read:
            opening = await _next(read, OPEN_SECONDS, request.offset)
            if opening.HasField("refusal"):
                error = _error_of(opening.refusal, source, request.offset)
                if isinstance(error, OutputGoneError):
                    await self._note_gone(source, read.line.host)
                raise error
            await self._note_there(source)
            parts = _file if opening.HasField("file") else _folder
            async with closing(parts(source, opening, read)) as responses:
                async for response in responses:
                    yield response.SerializeToString()

    async def _source(self, request: runs_service_pb2.ReadOutputRequest) -> _Source:
        def read(connection: Connection) -> tuple[output_pb2.Output | None, str]:
            return (
                queries.output(connection, request.run_id, request.path),
                queries.launching_agent(connection, request.run_id),
            )

        output, agent_id = await self._database.read(read)
        if output is None:
            raise PartNotFoundError("The run has no such output.")
        if not agent_id:
            raise NoReaderError
        return _Source(request, output, agent_id)

    async def _peer_of(self, source: _Source) -> str:
        """Return the address of the replica that the agent is connected to; empty: this one.

        Raises:
            AgentAwayError: It is connected to none.
            AgentElsewhereError: It is connected to one that is not reached from here.
        """
        if self._lines.is_connected(source.agent_id):
            return ""
        agents = fact_tables.AGENT.c
        found = await self._database.read(
            lambda connection: connection.execute(
                select(agents.connection_id, agents.heartbeat_ms, agents.peer_address).where(
                    agents.agent_id == source.agent_id
                )
            ).one_or_none()
        )
        if found is None:
            raise AgentAwayError
        connection_id, heartbeat_ms, address = found
        is_alive = self._clock_ms() - heartbeat_ms < self._lease_ms
        # What is just coming here, was here and is gone, or was here before this process was, is
        # nowhere else.
        if not is_alive or self._lines.is_of_here(connection_id):
            raise AgentAwayError
        if address not in {"", self._lines.address()} and not source.request.handed_on:
            return address
        if heartbeat_ms > self._began_ms:
            raise AgentElsewhereError
        raise AgentAwayError

    async def _note_there(self, source: _Source) -> None:
        run_id, known = source.request.run_id, source.output
        if not known.exists:
            await self._commit(run_id, lambda ledger: changes.note_there(ledger, run_id, known))
            known.exists = True

    async def _note_gone(self, source: _Source, host: str) -> None:
        run_id, known = source.request.run_id, source.output
        if known.exists:
            await self._commit(
                run_id, lambda ledger: changes.note_gone(ledger, run_id, known, host)
            )

    async def _commit(self, run_id: str, make: Callable[[Ledger], None]) -> None:
        await self._committer.commit(Change([run_id], make))


async def _file(
    source: _Source, opening: SendFileRequest, read: Read
) -> AsyncGenerator[ReadOutputResponse]:
    request, file = source.request, opening.file
    _require_unchanged(source, file)
    if request.offset > file.size_bytes:
        raise OffsetBeyondEndError(metadata={"size_bytes": str(file.size_bytes)})
    yield ReadOutputResponse(output=source.output, file=file)
    offset, end = request.offset, file.size_bytes
    if request.length:
        end = min(end, offset + request.length)
    while True:
        piece = await _next(read, PIECE_SECONDS, offset)
        match piece.WhichOneof("request"):
            case "data" if offset + len(piece.data) <= end:
                offset += len(piece.data)
                yield ReadOutputResponse(data=piece.data)
            case "end" if offset == end:
                return
            case "refusal":
                raise _error_of(piece.refusal, source, offset)
            case _:  # more than there was, or less
                raise OutputChangedError


async def _folder(
    source: _Source, opening: SendFileRequest, read: Read
) -> AsyncGenerator[ReadOutputResponse]:
    yield ReadOutputResponse(output=source.output)
    piece = opening
    while piece.HasField("members"):
        yield ReadOutputResponse(members=piece.members)
        piece = await _next(read, PIECE_SECONDS, 0)
    if not piece.HasField("end"):
        raise _error_of(piece.refusal, source, 0)


def _require_unchanged(source: _Source, file: output_pb2.OutputFile) -> None:
    request, output = source.request, source.output
    now = {"size_bytes": str(file.size_bytes)}
    if request.version and request.version != file.version:
        message = "The file was written since the read that you go on with."
        raise OutputChangedError(message, metadata=now)
    is_published = not request.member and not request.accept_changed
    if is_published and file.size_bytes != output.size_bytes:
        message = (
            f"The file has {file.size_bytes} bytes, and had {output.size_bytes} when published."
        )
        raise OutputChangedError(message, metadata=now)


async def _next(read: Read, seconds: float, offset: int) -> SendFileRequest:
    """Return what the agent sends next.

    Raises:
        AgentAwayError: It went away, or takes too long.
    """
    try:
        async with asyncio.timeout(seconds):
            piece = await read.take()
    except TimeoutError:
        message = "The agent of the run takes too long to read."
        raise AgentAwayError(message, metadata={"offset": str(offset)}) from None
    if piece is None:
        message = "The agent of the run went away while it read."
        raise AgentAwayError(message, metadata={"offset": str(offset)})
    return piece


def _error_of(refusal: FileRefusal, source: _Source, offset: int) -> ServiceError:
    """Return what to tell the caller of an agent's refusal."""
    kind = _REFUSALS.get(refusal.kind, OutputUnreadableError)
    if kind is OutputGoneError and source.request.member:
        return PartNotFoundError("The folder that was published has no such file.")
    metadata = {"offset": str(offset)} if kind is AgentAwayError else None
    if not refusal.message:
        return kind(metadata=metadata)
    said = escaped(refusal.message, _LONGEST_WORD)
    return kind(f"The file cannot be read: {said}.", metadata=metadata)
