"""A real gRPC server that takes in batches by the contract, in memory, and can misbehave."""

import queue
import random
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import AppendLogsRequest, AppendLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    AppendMetricsRequest,
    AppendMetricsResponse,
)
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.producers.v1.batch_pb2 import Acknowledgement, Batch
from trackside_protos.runs.v1.report_pb2 import RunReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run
from trackside_protos.runs.v1.runs_service_pb2 import (
    CreateRunRequest,
    CreateRunResponse,
    GetRunRequest,
    GetRunResponse,
    ReportRunRequest,
    ReportRunResponse,
)

RUNS, LOGS, METRICS = "runs", "logs", "metrics"
_AHEAD = 32
_GRPC: Any = grpc  # the types of its handlers are not known

Request = ReportRunRequest | AppendLogsRequest | AppendMetricsRequest
Refuse = Callable[[Any], "Refusal | None"]
"""Is given a request of whichever service."""


@dataclass
class Refusal(Exception):  # noqa: N818 - what the contract calls it
    """An error as the services give it."""

    status: int
    reason: str
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    field: str = ""


@dataclass
class Window:
    """What a service keeps of one producer of one run."""

    expected: int = 1
    held: dict[int, bytes] = field(default_factory=dict[int, bytes])
    checksums: dict[int, int] = field(default_factory=dict[int, int])


@dataclass
class StoredRun:
    """Everything that was stored of one run, in order."""

    run: Run
    reports: list[RunReport] = field(default_factory=list[RunReport])
    entries: list[LogEntry] = field(default_factory=list[LogEntry])
    blocks: list[PointBlock] = field(default_factory=list[PointBlock])

    @property
    def messages(self) -> list[str]:
        """The texts of the log entries."""
        return [entry.message for entry in self.entries]

    def values(self, key: str) -> list[float]:
        """The values of one key."""
        return [value for block in self.blocks if block.key == key for value in block.values]

    def kinds(self) -> list[str]:
        """What each report says."""
        return [report.WhichOneof("report") or "" for report in self.reports]

    @property
    def states(self) -> list[int]:
        """The states that were reported."""
        return [r.state.state for r in self.reports if r.HasField("state")]

    @property
    def producers_closed(self) -> int:
        """How many producers have closed."""
        return self.kinds().count("closed")


class AppendServer:
    """Serves the append streams, `CreateRun` and `GetRun`; a test may change any attribute."""

    def __init__(self, *, token: str = "secret") -> None:  # noqa: S107 - the tests' own
        self.token = token
        self.refusal_of_tokens = "TOKEN_REFUSED"
        self.runs: dict[str, StoredRun] = {}
        self.lock = threading.Condition()
        self.refuse: dict[str, Refuse] = {}
        """By service: what is refused."""
        self.lose_acknowledgement = 0.0
        """How often, of 1, a stream breaks after a batch was stored and before it is told."""
        self.received_batches = 0
        self.port = 0
        self._chance = random.Random(7)  # noqa: S311 - the same faults in each test
        self._windows: dict[tuple[str, str, str, int], Window] = defaultdict(Window)
        self._epochs: dict[tuple[str, str, str], int] = {}
        self._controls: list[queue.Queue[Message | Exception | None]] = []
        self._server: grpc.Server | None = None

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the same port as before."""
        server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((_Door(self),))
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        self._server = server

    def stop(self) -> None:
        """Break all connections; what was stored stays."""
        if self._server is not None:
            for each in list(self._controls):
                each.put(None)
            self._server.stop(0).wait()
            self._server = None

    def forget(self) -> None:
        """Lose everything, as a store that was replaced."""
        with self.lock:
            self.runs.clear()
            self._windows.clear()
            self._epochs.clear()

    def wait_for(self, condition: Callable[[], Any], timeout: float = 60.0) -> None:
        """Return when this holds; it is asked again after each batch."""
        with self.lock:
            assert self.lock.wait_for(condition, timeout), "it never came true"

    def control(self, run_id: str, request: ControlRequest) -> None:
        """Ask the producers for something."""
        for each in list(self._controls):
            each.put(ReportRunResponse(control=request, control_run_id=run_id))

    def only_run(self) -> StoredRun:
        """Return the one run there is."""
        (stored,) = self.runs.values()
        return stored

    # What the door asks for.

    def create_run(self, data: bytes, context: grpc.ServicerContext) -> Message:
        """Create a run."""
        self._check(context)
        request = CreateRunRequest.FromString(data)
        with self.lock:
            refusal = self._refused(request, "create")
            if refusal:
                _abort(context, refusal)
            existed = request.run.run_id in self.runs
            stored = self.runs.setdefault(request.run.run_id, StoredRun(request.run))
            self.lock.notify_all()
            return CreateRunResponse(run=stored.run, existed=existed)

    def get_run(self, data: bytes, context: grpc.ServicerContext) -> Message:
        """Return a run."""
        self._check(context)
        stored = self.runs.get(GetRunRequest.FromString(data).run_id)
        if stored is None:
            _abort(context, Refusal(code_pb2.NOT_FOUND, "RUN_NOT_FOUND"))
        return GetRunResponse(run=stored.run)

    def append(
        self, service: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[Message]:
        """Take in batches from one stream."""
        self._check(context)
        answers: queue.Queue[Message | Exception | None] = queue.Queue()
        self._controls.append(answers)  # before anything of the stream can be seen to have come
        threading.Thread(
            target=self._take_all, args=(service, requests, answers), daemon=True
        ).start()
        try:
            while (answer := answers.get()) is not None:
                if isinstance(answer, Refusal):
                    _abort(context, answer)
                assert isinstance(answer, Message)
                yield answer
        finally:
            self._controls.remove(answers)

    def _take_all(
        self,
        service: str,
        requests: Iterator[bytes],
        answers: "queue.Queue[Message | Exception | None]",
    ) -> None:
        try:
            for data in requests:
                if service == RUNS and ReportRunRequest.FromString(data).HasField("clock_time"):
                    continue
                answer = self._take(service, data)
                if self._chance.random() < self.lose_acknowledgement:
                    answers.put(Refusal(code_pb2.UNAVAILABLE, "SHUTTING_DOWN"))
                    return
                answers.put(answer)
        except Refusal as refusal:
            answers.put(refusal)
        except grpc.RpcError:
            pass
        answers.put(None)

    def _take(self, service: str, data: bytes) -> Message:
        parse: dict[str, type[Request]] = {
            RUNS: ReportRunRequest,
            LOGS: AppendLogsRequest,
            METRICS: AppendMetricsRequest,
        }
        request = parse[service].FromString(data)
        with self.lock:
            self.received_batches += 1
            through = self._accept(service, request.batch, data, request)
            self.lock.notify_all()
        ack = Acknowledgement(
            run_id=request.batch.run_id,
            producer_id=request.batch.producer_id,
            epoch=request.batch.epoch,
            through_sequence=through,
        )
        if service == RUNS:
            return ReportRunResponse(acknowledgement=ack)
        if service == LOGS:
            return AppendLogsResponse(acknowledgement=ack)
        return AppendMetricsResponse(acknowledgement=ack)

    def _accept(self, service: str, batch: Batch, data: bytes, request: Request) -> int:
        about = {"run_id": batch.run_id, "batch_sequence": str(batch.sequence)}
        window = self._window(service, batch, about)
        checksum = zlib.crc32(data)
        if window.checksums.get(batch.sequence, checksum) != checksum:
            raise Refusal(code_pb2.ALREADY_EXISTS, "BATCH_CONFLICT", about)
        if batch.sequence >= window.expected + _AHEAD:
            about["expected"] = str(window.expected)
            raise Refusal(code_pb2.ABORTED, "BATCH_GAP", about)
        if batch.sequence >= window.expected:
            refusal = self._refused(request, service)
            if refusal:
                refusal.metadata = refusal.metadata or about
                raise refusal
            window.held[batch.sequence] = data
            window.checksums[batch.sequence] = checksum
        while (held := window.held.pop(window.expected, None)) is not None:
            self._store(type(request).FromString(held))
            window.expected += 1
        if window.held:  # the contract: ten seconds; nothing here can fill the gap later
            about["expected"] = str(window.expected)
            window.checksums.pop(batch.sequence)
            window.held.clear()
            raise Refusal(code_pb2.ABORTED, "BATCH_GAP", about)
        return window.expected - 1

    def _window(self, service: str, batch: Batch, about: dict[str, str]) -> Window:
        if batch.run_id not in self.runs:
            raise Refusal(code_pb2.NOT_FOUND, "RUN_NOT_FOUND", about)
        producer = (service, batch.run_id, batch.producer_id)
        if batch.epoch < self._epochs.setdefault(producer, batch.epoch):
            raise Refusal(code_pb2.FAILED_PRECONDITION, "STALE_EPOCH", about)
        self._epochs[producer] = batch.epoch
        return self._windows[*producer, batch.epoch]

    def _refused(self, request: Message, service: str) -> Refusal | None:
        refuse = self.refuse.get(service)
        return refuse(request) if refuse else None

    def _store(self, request: Request) -> None:
        stored = self.runs[request.batch.run_id]
        if isinstance(request, ReportRunRequest):
            stored.reports += request.reports
        elif isinstance(request, AppendLogsRequest):
            assert 0 < len(request.entries) <= 10_000
            stored.entries += request.entries
        else:
            assert 0 < len(request.blocks) <= 1_000
            for block in request.blocks:
                assert len(block.steps) == len(block.times_millis) == len(block.values) > 0
            stored.blocks += request.blocks

    def _check(self, context: grpc.ServicerContext) -> None:
        metadata = {datum[0]: datum[1] for datum in context.invocation_metadata()}
        if metadata.get("authorization") != f"Bearer {self.token}":
            _abort(context, Refusal(code_pb2.UNAUTHENTICATED, self.refusal_of_tokens))


class _Door(grpc.GenericRpcHandler):
    def __init__(self, server: AppendServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        streams = {"ReportRun": RUNS, "AppendLogs": LOGS, "AppendMetrics": METRICS}
        unary = {"CreateRun": self._server.create_run, "GetRun": self._server.get_run}
        if name in streams:
            append = partial(self._server.append, streams[name])
            return _GRPC.stream_stream_rpc_method_handler(append, response_serializer=_encode)
        if name in unary:
            return _GRPC.unary_unary_rpc_method_handler(unary[name], response_serializer=_encode)
        return None


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


def _abort(context: grpc.ServicerContext, refusal: Refusal) -> NoReturn:
    status = status_pb2.Status(code=refusal.status, message=f"refused: {refusal.reason}")
    info = error_details_pb2.ErrorInfo(reason=refusal.reason, domain="trackside")
    info.metadata.update(refusal.metadata)
    status.details.add().Pack(info)
    if refusal.field:
        wrong = error_details_pb2.BadRequest()
        wrong.field_violations.add(field=refusal.field, description="refused")
        status.details.add().Pack(wrong)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort raises")
