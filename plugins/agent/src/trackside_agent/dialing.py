"""The agent's line to the server: offers runners, takes in runs and commands, renews the lease."""

import logging
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Final

import grpc

from trackside.chance import CHANCE
from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside.client.failed_calls import error_of_call
from trackside.location import Location
from trackside_agent.host import Host
from trackside_agent.sending import FileSender
from trackside_protos.runners.v1.runners_service_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Hello,
    LaunchStored,
    Renewal,
)

RENEWAL_SECONDS: Final = 10.0
SLOTS_SECONDS: Final = 0.2
"""How often it is looked whether a runner has become free."""

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
REPLACED_PAUSE: Final = 30.0
HELD_SECONDS: Final = 2.0
"""How long a line must hold for the next to be tried as soon as after the first."""

STOP_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class Dialer:
    """Keeps the line to the server open, from a thread of its own, while the agent lives."""

    def __init__(self, location: Location, agent_id: str, host: Host) -> None:
        self._connection = Connection(location)
        self._agent_id = agent_id
        self._host = host
        self._sender = FileSender(self._connection, self._metadata, host.thread_of)
        self._stopping = threading.Event()
        self._call: grpc.Call | None = None
        self._thread = threading.Thread(target=self._run, name="dialer", daemon=True)

    def start(self) -> None:
        """Begin to dial."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up and dial no more."""
        self._stopping.set()
        if self._call is not None:
            self._call.cancel()
        self._thread.join(STOP_SECONDS)
        self._sender.stop()
        self._connection.close()

    def _run(self) -> None:
        pauses, complaint = Pauses(), ""
        while not self._stopping.is_set():
            line = Line(self._agent_id, self._host, self._sender)
            problem = self._problem_of(line)
            is_new = line.has_held or problem != complaint
            if problem and is_new and not self._stopping.is_set():
                logger.warning("the line to the server is cut: %s", problem)
            complaint = problem
            pause = pauses.after(problem, has_held=line.has_held)
            self._stopping.wait(pause * CHANCE.uniform(0.5, 1.0))

    def _problem_of(self, line: "Line") -> str:
        """Talk until the line is cut, and return by what; nothing if the server hung up."""
        try:
            self._talk(line)
        except (grpc.RpcError, TracksideError) as error:
            return self._describe(error)
        except Exception as error:
            logger.exception("the line to the server was given up")
            return str(error)
        return ""

    def _talk(self, line: "Line") -> None:
        call = self._connection.runners.Connect(iter(line), metadata=self._metadata())
        self._call = call
        if self._stopping.is_set():  # since before there was a call to cancel
            call.cancel()
        try:
            for response in call:
                line.take(response)
        finally:
            line.end()
            call.cancel()

    def _describe(self, error: grpc.RpcError | TracksideError) -> str:
        if isinstance(error, grpc.RpcError):
            error = error_of_call(error, self._connection.location.server)
        return f"{error.reason} {error.message}".strip()

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = self._connection.location.current_token()
        return (("authorization", f"Bearer {token}"),)


class Pauses:
    """How many seconds to wait before dialling again."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def after(self, problem: str, *, has_held: bool) -> float:
        """Return the pause after a line that was cut by a problem."""
        pause = FIRST_PAUSE if has_held else self._next
        self._next = min(pause * 2, LONGEST_PAUSE)
        # Whoever replaced us has the same id: two that dial at once would only take turns.
        return REPLACED_PAUSE if "AGENT_REPLACED" in problem else pause


class Line:
    """One connection: iterated for what the agent says, told what the server says."""

    def __init__(self, agent_id: str, host: Host, sender: FileSender) -> None:
        self._answered: float | None = None
        self._agent_id = agent_id
        self._host = host
        self._sender = sender
        self._said: queue.SimpleQueue[ConnectRequest | None] = queue.SimpleQueue()
        self._slots: Mapping[str, int] = {}
        self._renewal_seconds = RENEWAL_SECONDS

    def __iter__(self) -> Iterator[ConnectRequest]:
        """Yield what the agent says, for ever; grpc iterates from a thread of its own."""
        yield ConnectRequest(hello=self._hello())
        renewed = time.monotonic()
        while True:
            try:
                said = self._said.get(timeout=SLOTS_SECONDS)
            except queue.Empty:
                slots = self._host.free_slots()
                if slots != self._slots or time.monotonic() - renewed >= self._renewal_seconds:
                    self._slots, renewed = slots, time.monotonic()
                    yield ConnectRequest(renewal=Renewal(free_slots=slots))
            else:
                if said is None:
                    return
                yield said

    @property
    def has_held(self) -> bool:
        """Whether the server took the agent in and did not hang up at once."""
        return self._answered is not None and time.monotonic() - self._answered >= HELD_SECONDS

    def take(self, response: ConnectResponse) -> None:
        """Do what the server says."""
        kind = response.WhichOneof("response")
        if kind == "welcome":
            self._answered = time.monotonic()
            lease_seconds = response.welcome.lease_duration.ToTimedelta().total_seconds()
            if lease_seconds > 0:
                self._renewal_seconds = min(RENEWAL_SECONDS, lease_seconds / 3)
            self._host.deletions.attach(self._said.put)
            logger.info("the server has taken us in")
        elif kind == "assignment":
            run_id = response.assignment.run.run_id
            self._host.assign(response.assignment)
            self._said.put(ConnectRequest(launch_stored=LaunchStored(run_id=run_id)))
        elif kind == "command":
            self._host.command(response.command.run_id, response.command.control)
        elif kind == "read":
            self._sender.take(response.read)
        elif kind == "deletion":
            self._host.deletions.take(response.deletion)
        elif kind == "deletion_noted":
            self._host.deletions.forget(response.deletion_noted.request_id)

    def end(self) -> None:
        """Say nothing more."""
        self._host.deletions.detach(self._said.put)
        self._said.put(None)

    def _hello(self) -> Hello:
        return Hello(
            agent_id=self._agent_id,
            host=socket.gethostname(),
            version=version("trackside-agent"),
            runners=self._host.offers,
            held_run_ids=self._host.held_run_ids,
        )
