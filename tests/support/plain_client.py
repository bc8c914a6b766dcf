"""Calls of real servers as any gRPC client makes them: stubs, a token, nothing in between."""

from collections.abc import Iterator
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsRequest
from trackside_protos.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from trackside_protos.metrics.v1.metrics_service_pb2 import QueryPointsRequest, SeriesPoints
from trackside_protos.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import (
    GetRunRequest,
    ListChangesRequest,
    ListRunsRequest,
)
from trackside_protos.runs.v1.runs_service_pb2_grpc import RunsServiceStub
from trackside_protos.servers.v1.servers_service_pb2 import GetServerRequest
from trackside_protos.servers.v1.servers_service_pb2_grpc import ServersServiceStub

ResponseT = TypeVar("ResponseT", bound=Message)
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)
_SECONDS = 60.0


class PlainClient:
    """A way to one server and to those that it names."""

    def __init__(self, server: str, token: str) -> None:
        self.metadata = (("authorization", f"Bearer {token}"),)
        self._channels = {server: grpc.insecure_channel(server, _OPTIONS)}
        servers = ServersServiceStub(self._channels[server])
        addresses = self.call(servers.GetServer, GetServerRequest()).server.addresses
        for address in addresses.values():
            self._channels.setdefault(address, grpc.insecure_channel(address, _OPTIONS))
        self.runs = RunsServiceStub(self._channels[addresses["trackside.runs.v1.RunsService"]])
        self.logs = LogsServiceStub(self._channels[addresses["trackside.logs.v1.LogsService"]])
        self.metrics = MetricsServiceStub(
            self._channels[addresses["trackside.metrics.v1.MetricsService"]]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels.values():
            channel.close()

    def call(
        self, method: "grpc.UnaryUnaryMultiCallable[Any, ResponseT]", request: Message
    ) -> ResponseT:
        """Make one call, waiting for the server if it is not there yet."""
        return method(request, metadata=self.metadata, timeout=_SECONDS, wait_for_ready=True)

    def run(self, run_id: str) -> Run:
        return self.call(self.runs.GetRun, GetRunRequest(run_id=run_id)).run

    def find(self, run_id: str) -> Run | None:
        """Return a run, if there is one."""
        try:
            return self.run(run_id)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def children(self, parent_id: str) -> list[Run]:
        request = ListRunsRequest(
            filter=f'parent = "{parent_id}"', order_by="create_time", page_size=1000
        )
        return list(self.call(self.runs.ListRuns, request).runs)

    def changes(self, run_id: str) -> Iterator[RunChange]:
        """Yield every change of a run that is listed."""
        after = 0
        while True:
            request = ListChangesRequest(run_id=run_id, after_sequence=after, page_size=1000)
            page = self.call(self.runs.ListChanges, request)
            yield from page.changes
            after = page.changes[-1].sequence if page.changes else after
            if not page.changes or after >= page.latest_sequence:
                return

    def log_entries(self, run_id: str) -> Iterator[tuple[int, LogEntry]]:
        """Yield every log entry of a run that is listed, with its sequence."""
        request = ListLogsRequest(run_id=run_id, page_size=10_000)
        while True:
            page = self.call(self.logs.ListLogs, request)
            for block in page.blocks:
                yield from enumerate(block.entries, start=block.first_sequence)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def points(self, run_id: str) -> list[SeriesPoints]:
        """Return every point of every series of a run."""
        request = QueryPointsRequest(run_id=run_id)
        return list(self.call(self.metrics.QueryPoints, request).series)
