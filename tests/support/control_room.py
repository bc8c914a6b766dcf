"""A server in memory for tests of agents and producers: real gRPC, no store.

It keeps the rules of exactly-once delivery strictly: what a real server would refuse is a mistake
that the test fails for.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from support.private_server import LOOPBACK, free_port
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import AppendLogsRequest, AppendLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    AppendMetricsRequest,
    AppendMetricsResponse,
)
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.producers.v1.batch_pb2 import Acknowledgement, Batch
from trackside_protos.runners.v1.runners_service_pb2 import (
    Assignment,
    Command,
    ConnectRequest,
    ConnectResponse,
    DeletionNoted,
    DeletionOrder,
    DeletionReport,
    FileRead,
    Hello,
    Renewal,
    SendFileRequest,
    SendFileResponse,
    Welcome,
)
from trackside_protos.runs.v1.output_deletion_pb2 import OutputDirectory
from trackside_protos.runs.v1.report_pb2 import ControlStep, RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run, Usage
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState
from trackside_protos.runs.v1.runs_service_pb2 import ReportRunRequest, ReportRunResponse

PATIENCE_SECONDS: Final = 60.0
_KILL: Final = RunAction.RUN_ACTION_KILL
_STOP: Final = RunAction.RUN_ACTION_STOP
FINAL: Final = {
    RunState.RUN_STATE_COMPLETED,
    RunState.RUN_STATE_FAILED,
    RunState.RUN_STATE_TERMINATED,
}


class ContractBrokenError(Exception):
    """A producer did what a real server would have refused."""


@dataclass(slots=True)
class Told:
    """What was told of one run."""

    reports: list[RunReport] = field(default_factory=list[RunReport])
    entries: list[LogEntry] = field(default_factory=list[LogEntry])
    blocks: list[PointBlock] = field(default_factory=list[PointBlock])

    @property
    def states(self) -> Sequence[StateReport]:
        return [report.state for report in self.reports if report.HasField("state")]

    @property
    def ending(self) -> StateReport | None:
        return next((state for state in self.states if state.state in FINAL), None)

    @property
    def is_closed(self) -> bool:
        return any(report.HasField("closed") for report in self.reports)

    @property
    def directories(self) -> Sequence[OutputDirectory]:
        told = [one for one in self.reports if one.HasField("output_directory")]
        return [report.output_directory for report in told]

    def steps(self, request_id: str) -> Sequence[str]:
        return [
            ControlStep.Name(report.control.step).removeprefix("CONTROL_STEP_")
            for report in self.reports
            if report.control.request_id == request_id
        ]

    def found_nothing(self, request_id: str) -> bool:
        return any(
            report.control.nothing_found
            for report in self.reports
            if report.control.request_id == request_id
        )

    @property
    def usages(self) -> Sequence[Usage]:
        return [report.usage for report in self.reports if report.HasField("usage")]

    def text(self, stream: str = "stdout") -> str:
        """Return the lines of a stream as they were written."""
        return "".join(
            entry.message + ("" if entry.continues else "\n")
            for entry in self.entries
            if entry.stream == stream
        )


@dataclass(slots=True)
class Sent:
    """What was sent of one file."""

    pieces: list[SendFileRequest] = field(default_factory=list[SendFileRequest])
    has_ended: bool = False

    @property
    def data(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)


class ControlRoom:
    """Assigns runs to whatever agent connects, and remembers what it is told.

    `start` and `stop` may be called again and again: the port and the memory stay.
    """

    def __init__(self) -> None:
        self.address = f"{LOOPBACK}:{free_port()}"
        self.hellos: list[Hello] = []
        self.renewals: list[Renewal] = []
        self.tokens: set[str] = set()
        self.broken: list[str] = []
        self._changed = threading.Condition()
        self._told: defaultdict[str, Told] = defaultdict(Told)
        self._received: dict[tuple[str, str, int, str], list[bytes]] = {}
        self._assignments: dict[str, Assignment] = {}
        self._stored: set[str] = set()
        self._commands: dict[str, Command] = {}
        self._orders: dict[str, Sequence[DeletionOrder]] = {}
        self._deletions: defaultdict[str, list[DeletionReport]] = defaultdict(list)
        self._noted: set[str] = set()
        self._reads: dict[str, FileRead] = {}
        self._files: dict[str, Sent] = {}
        self._wanted: dict[str, int] = {}
        self._silent: set[str] = set()
        self._sent: set[str] = set()
        self._unheard: set[str] = set()
        self._server: grpc.Server | None = None
        self._generation = 0

    def start(self) -> None:
        server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers(
            [
                _door("runners.v1.RunnersService", "Connect", ConnectRequest, self._connect),
                _door("runners.v1.RunnersService", "SendFile", SendFileRequest, self._send_file),
                _door("runs.v1.RunsService", "ReportRun", ReportRunRequest, self._report_run),
                _door("logs.v1.LogsService", "AppendLogs", AppendLogsRequest, self._append_logs),
                _door(
                    "metrics.v1.MetricsService",
                    "AppendMetrics",
                    AppendMetricsRequest,
                    self._append_metrics,
                ),
            ]
        )
        assert server.add_insecure_port(self.address)
        server.start()
        self._server = server

    def stop(self) -> None:
        if self._server is not None:
            with self._changed:
                self._generation += 1
                self._changed.notify_all()
            self._server.stop(grace=None).wait()
            self._server = None

    def assign(self, run: Run) -> None:
        assignment = Assignment(run=run, reporter_token=f"reporter-of-{run.run_id}")
        with self._changed:
            self._assignments[run.run_id] = assignment
            self._changed.notify_all()

    def assign_again(self, run_id: str) -> None:
        """Behave as if it was not heard that the agent had stored an assignment."""
        with self._changed:
            self._stored.discard(run_id)
            self._changed.notify_all()

    def kill(self, run_id: str, request_id: str) -> None:
        self._command(run_id, ControlRequest(request_id=request_id, action=_KILL))

    def stop_run(self, run_id: str, request_id: str, grace_seconds: float = 600.0) -> None:
        control = ControlRequest(request_id=request_id, action=_STOP)
        control.grace_duration.FromTimedelta(timedelta(seconds=grace_seconds))
        self._command(run_id, control)

    def read(self, read: FileRead, *, pieces: int = 1 << 30, says_taken: bool = True) -> Sent:
        """Ask for a file, of which so many pieces are taken, and return what comes of it."""
        with self._changed:
            self._files[read.read_id] = sent = Sent()
            self._wanted[read.read_id] = pieces
            if not says_taken:
                self._silent.add(read.read_id)
            self._reads[read.read_id] = read
            self._changed.notify_all()
        return sent

    def order(self, *pages: DeletionOrder) -> None:
        """Have outputs deleted; handed over on each connection until its end is noted."""
        with self._changed:
            self._orders[pages[0].request_id] = pages
            self._changed.notify_all()

    def note_deleted(self, request_id: str) -> None:
        """Say from now on that the end of a deletion is stored."""
        with self._changed:
            del self._orders[request_id]
            self._noted.add(request_id)
            self._changed.notify_all()

    def deletion(self, request_id: str) -> Sequence[DeletionReport]:
        """Return what was told of a deletion."""
        with self._changed:
            return list(self._deletions[request_id])

    def told(self, run_id: str) -> Told:
        with self._changed:
            return self._told[run_id]

    def is_stored(self, run_id: str) -> bool:
        return run_id in self._stored

    def was_sent(self, request_id: str) -> bool:
        """Return whether a command was handed to a connection."""
        return request_id in self._sent

    def wait(self, is_so: Callable[[], object], what: str = "what was waited for") -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            while not is_so():
                assert not self.broken, self.broken
                assert time.monotonic() < end, f"{what} did not come"
                self._changed.wait(0.02)  # not everything that is waited for notifies

    def ended(self, run_id: str) -> Told:
        """Wait until a run has ended and its producer has closed."""
        self.wait(lambda: self._told[run_id].is_closed, f"the end of {run_id}")
        return self.told(run_id)

    def take(self, service: str, batch: Batch, items: Sequence[Any]) -> Acknowledgement:
        """Take a batch in, once."""
        key = (batch.run_id, batch.producer_id, batch.epoch, service)
        contents = b"".join(item.SerializeToString(deterministic=True) for item in items)
        with self._changed:
            received = self._received.setdefault(key, [])
            if batch.sequence <= len(received):
                if received[batch.sequence - 1] != contents:
                    self._break(f"{key}: batch {batch.sequence} came with other bytes")
            elif batch.sequence > len(received) + 1:
                self._break(f"{key}: batch {batch.sequence} came after {len(received)}")
            elif self._is_fenced(key):
                self._break(f"{key}: a later epoch has begun")
            else:
                received.append(contents)
                told = self._told[batch.run_id]
                {"runs": told.reports, "logs": told.entries, "metrics": told.blocks}[
                    service
                ].extend(items)
                self._changed.notify_all()
            return Acknowledgement(
                run_id=batch.run_id,
                producer_id=batch.producer_id,
                epoch=batch.epoch,
                through_sequence=len(received),
            )

    def send_again(self, request_id: str) -> None:
        """Behave as if the acknowledgement of a command was not heard."""
        with self._changed:
            self._unheard.add(request_id)
            self._changed.notify_all()

    def _command(self, run_id: str, control: ControlRequest) -> None:
        with self._changed:
            self._commands[control.request_id] = Command(run_id=run_id, control=control)
            self._changed.notify_all()

    def _is_fenced(self, key: tuple[str, str, int, str]) -> bool:
        run_id, producer_id, epoch, service = key
        return any(
            (run_id, producer_id, service) == (other[0], other[1], other[3]) and other[2] > epoch
            for other in self._received
        )

    def _break(self, message: str) -> None:
        self.broken.append(message)
        self._changed.notify_all()
        raise ContractBrokenError(message)

    def _connect(
        self, requests: Iterator[ConnectRequest], context: grpc.ServicerContext
    ) -> Iterator[ConnectResponse]:
        self._authenticate(context)
        generation = self._generation
        hello = next(requests).hello
        with self._changed:
            self.hellos.append(hello)
            self._changed.notify_all()
        listener = threading.Thread(target=self._listen, args=(requests,), daemon=True)
        listener.start()
        yield ConnectResponse(welcome=Welcome(lease_duration=Duration(seconds=30)))
        sent: set[str] = set()
        while listener.is_alive():
            with self._changed:
                due = self._due(sent)
                if not due:
                    self._changed.wait(0.2)
                if generation != self._generation:
                    return
            for key, response in due:
                sent.add(key)
                yield response
                self._sent.add(key)

    def _listen(self, requests: Iterator[ConnectRequest]) -> None:
        try:
            for request in requests:
                with self._changed:
                    if request.HasField("renewal"):
                        self.renewals.append(request.renewal)
                    elif request.HasField("launch_stored"):
                        self._stored.add(request.launch_stored.run_id)
                    elif request.HasField("deletion"):
                        self._deletions[request.deletion.request_id].append(request.deletion)
                    self._changed.notify_all()
        except Exception:  # noqa: BLE001 - grpc has no name for the end of a cancelled stream
            return

    def _due(self, sent: set[str]) -> list[tuple[str, ConnectResponse]]:
        assignments = [
            (f"{run_id} {run_id in self._told}", ConnectResponse(assignment=assignment))
            for run_id, assignment in self._assignments.items()
            if run_id not in self._stored
        ]
        commands = [
            (request_id, ConnectResponse(command=command))
            for request_id, command in self._commands.items()
            if not self._told[command.run_id].steps(request_id)
        ] + [
            (f"{request_id} again", ConnectResponse(command=self._commands[request_id]))
            for request_id in self._unheard
        ]
        reads = [
            (read_id, ConnectResponse(read=read))
            for read_id, read in self._reads.items()
            if read_id not in self._sent
        ]
        orders = [
            (f"{request_id} {number}", ConnectResponse(deletion=page))
            for request_id, pages in self._orders.items()
            for number, page in enumerate(pages)
        ]
        noted = [
            (
                f"{request_id} noted",
                ConnectResponse(deletion_noted=DeletionNoted(request_id=request_id)),
            )
            for request_id in self._noted
        ]
        due = [*assignments, *commands, *reads, *orders, *noted]
        return [one for one in due if one[0] not in sent]

    def _send_file(
        self, requests: Iterator[SendFileRequest], context: grpc.ServicerContext
    ) -> Iterator[SendFileResponse]:
        self._authenticate(context)
        read_id = ""
        try:
            for request in requests:
                read_id = request.read_id or read_id
                with self._changed:
                    self._files[read_id].pieces.append(request)
                    self._changed.notify_all()
                    if len(self._files[read_id].pieces) >= self._wanted[read_id]:
                        return
                if read_id not in self._silent:
                    yield SendFileResponse(taken_count=len(self._files[read_id].pieces))
        finally:
            with self._changed:
                self._files[read_id].has_ended = True
                self._changed.notify_all()

    def _report_run(
        self, requests: Iterator[ReportRunRequest], context: grpc.ServicerContext
    ) -> Iterator[ReportRunResponse]:
        self._authenticate(context)
        for request in requests:
            if request.HasField("clock_time"):
                continue
            taken = self.take("runs", request.batch, request.reports)
            yield ReportRunResponse(acknowledgement=taken)

    def _append_logs(
        self, requests: Iterator[AppendLogsRequest], context: grpc.ServicerContext
    ) -> Iterator[AppendLogsResponse]:
        self._authenticate(context)
        for request in requests:
            taken = self.take("logs", request.batch, request.entries)
            yield AppendLogsResponse(acknowledgement=taken)

    def _append_metrics(
        self, requests: Iterator[AppendMetricsRequest], context: grpc.ServicerContext
    ) -> Iterator[AppendMetricsResponse]:
        self._authenticate(context)
        for request in requests:
            taken = self.take("metrics", request.batch, request.blocks)
            yield AppendMetricsResponse(acknowledgement=taken)

    def _authenticate(self, context: grpc.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata())
        with self._changed:
            self.tokens.add(str(metadata.get("authorization")))


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


def _door(
    service: str,
    method: str,
    request: type[Message],
    serve: Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Message]],
) -> grpc.GenericRpcHandler:
    handler: grpc.RpcMethodHandler[Any, Message] = grpc.stream_stream_rpc_method_handler(
        serve, request.FromString, _encode
    )
    return grpc.method_handlers_generic_handler(f"trackside.{service}", {method: handler})
