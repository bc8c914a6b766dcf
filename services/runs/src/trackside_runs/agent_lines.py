"""The agents that are connected here, and the reads that are open at them.

A read joins two streams: that of a caller who wants a file, and that by which the run's agent
sends it. Between them lie a few pieces at most, and the agent is told how many were taken, so a
caller who does not read holds the agent up; grpc alone would buffer tens of megabytes for each.
Either side learns at once when the other has gone. Event loop only.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from trackside_protos.runners.v1.runners_service_pb2 import FileRead, SendFileRequest
from trackside_runs.errors import AgentAwayError
from trackside_runs.identifiers import new_identifier
from trackside_serving.errors import TooManyStreamsError
from trackside_serving.identity import Caller

READS_OF_CALLER: Final = 8
READS_AT_AGENT: Final = 16
_PIECES_BETWEEN: Final = 2


@dataclass(slots=True, eq=False)
class AgentLine:
    """An agent's connection, as far as reads are concerned."""

    agent_id: str
    host: str
    caller: Caller
    wake: Callable[[], None]
    """Makes the connection look what is to be asked."""
    asks: deque[FileRead] = field(default_factory=deque[FileRead])
    """What is to be asked on the connection."""


class Read:
    """One open read: the pieces that were sent and not taken yet."""

    def __init__(self, line: AgentLine, subject: str) -> None:
        self.line = line
        self.subject = subject
        self.is_joined = False
        self.taken_count = 0
        """How many pieces were taken."""
        self.moved = asyncio.Event()
        """Set when a piece was taken."""
        self.left = asyncio.Event()
        """Set when nobody waits for the rest."""
        self._pieces: deque[SendFileRequest] = deque()
        self._has_ended = False
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()

    async def put(self, piece: SendFileRequest) -> None:
        """Hand over a piece; waits while there is no room for it."""
        while len(self._pieces) >= _PIECES_BETWEEN:
            self._has_room.clear()
            await self._has_room.wait()
        self._pieces.append(piece)
        self._filled.set()

    def end(self) -> None:
        """Note that nothing more comes."""
        self._has_ended = True
        self._filled.set()

    async def take(self) -> SendFileRequest | None:
        """Return the next piece; None when nothing more comes."""
        while not self._pieces:
            if self._has_ended:
                return None
            self._filled.clear()
            await self._filled.wait()
        self._has_room.set()
        self.taken_count += 1
        self.moved.set()
        return self._pieces.popleft()


class AgentLines:
    """Knows the agents that are connected here, and every open read.

    Attributes:
        address: Returns at which address other replicas reach this one; empty: at none.
    """

    def __init__(self, address: Callable[[], str]) -> None:
        self.address = address
        self._here = new_identifier()
        self._lines: dict[str, AgentLine] = {}
        self._reads: dict[str, Read] = {}

    def new_connection_id(self) -> str:
        """Return the id of a new connection to this replica."""
        return f"{self._here}-{new_identifier()}"

    def is_of_here(self, connection_id: str) -> bool:
        """Return whether a connection is, or was, one to this replica."""
        return connection_id.startswith(f"{self._here}-")

    @contextmanager
    def attached(self, line: AgentLine) -> Generator[None]:
        """Have an agent asked on a connection while that lasts, instead of on an earlier one."""
        self._lines[line.agent_id] = line
        try:
            yield
        finally:
            if self._lines.get(line.agent_id) is line:
                del self._lines[line.agent_id]
            for read in self._reads.values():
                if read.line is line and not read.is_joined:
                    read.end()

    def is_connected(self, agent_id: str) -> bool:
        """Return whether an agent is connected here."""
        return agent_id in self._lines

    @contextmanager
    def reading(self, agent_id: str, ask: FileRead, subject: str) -> Generator[Read]:
        """Ask an agent to read, and give what comes of it, on behalf of somebody.

        Raises:
            AgentAwayError: The agent is not connected here.
            TooManyStreamsError: There are too many reads at it, or of this subject.
        """
        line = self._lines.get(agent_id)
        if line is None:
            raise AgentAwayError
        self._require_room(line, subject)
        read = Read(line, subject)
        ask.read_id = new_identifier()
        self._reads[ask.read_id] = read
        line.asks.append(ask)
        line.wake()
        try:
            yield read
        finally:
            del self._reads[ask.read_id]
            if ask in line.asks:
                line.asks.remove(ask)
            read.left.set()

    def join(self, read_id: str, caller: Caller) -> Read | None:
        """Return the read that is waited for, once, if this caller's agent was asked for it."""
        read = self._reads.get(read_id)
        if read is None or read.is_joined or read.line.caller != caller:
            return None
        read.is_joined = True
        return read

    def _require_room(self, line: AgentLine, subject: str) -> None:
        reads = self._reads.values()
        if sum(read.subject == subject for read in reads) >= READS_OF_CALLER:
            message = f"You have {READS_OF_CALLER} reads open, all that one may."
            raise TooManyStreamsError(message)
        if sum(read.line.agent_id == line.agent_id for read in reads) >= READS_AT_AGENT:
            message = f"The agent of the run has {READS_AT_AGENT} reads open, all it may."
            raise TooManyStreamsError(message)
