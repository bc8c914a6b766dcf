"""Watches a run through whatever happens to its servers, and writes down each thing it is told.

    python watcher.py RUN_ID FILE SERVER [SERVER ...]

Uses nothing but grpcio and the generated stubs, so it proves the contract alone: begin at the
BEGINNING, keep the last cursor, go on from it at the next server when a stream breaks. Writes one
JSON line for each item of each service as soon as a cursor covers it, and exits 0 when all three
watches have ended, which is when the run is sealed. The token is that of `TRACKSIDE_TOKEN`.
"""

import hashlib
import itertools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from google.protobuf.message import Message

from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsRequest, WatchLogsResponse
from trackside_protos.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    WatchMetricsRequest,
    WatchMetricsResponse,
)
from trackside_protos.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunRequest, WatchRunResponse
from trackside_protos.runs.v1.runs_service_pb2_grpc import RunsServiceStub
from trackside_protos.servers.v1.servers_service_pb2 import GetServerRequest
from trackside_protos.servers.v1.servers_service_pb2_grpc import ServersServiceStub
from trackside_protos.watches.v1.watch_start_pb2 import WATCH_POSITION_BEGINNING, WatchStart

Item = tuple[int, Message]
OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)
GOES_ON = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
PAUSE_SECONDS = 0.05
CONNECT_SECONDS = 2.0
STUBS = {
    "runs": ("trackside.runs.v1.RunsService", RunsServiceStub, "WatchRun", WatchRunRequest),
    "logs": ("trackside.logs.v1.LogsService", LogsServiceStub, "WatchLogs", WatchLogsRequest),
    "metrics": (
        "trackside.metrics.v1.MetricsService",
        MetricsServiceStub,
        "WatchMetrics",
        WatchMetricsRequest,
    ),
}


def items_of(response: Message) -> Iterator[Item]:
    """Yield what a response tells, each thing with its sequence."""
    match response:
        case WatchRunResponse():
            yield from ((change.sequence, change) for change in response.changes)
        case WatchLogsResponse():
            for block in response.blocks:
                dense = itertools.count(block.first_sequence)
                yield from zip(block.sequences or dense, block.entries, strict=False)
        case WatchMetricsResponse():
            yield from ((block.sequence, block) for block in response.blocks)
        case _:
            raise TypeError(response)


class Watcher:
    """Watches one service's record of the run."""

    def __init__(
        self, service: str, run_id: str, servers: list[str], write: Callable[[str], None]
    ) -> None:
        self.cursor = ""
        self._service = service
        self._run_id = run_id
        self._servers = itertools.cycle(servers)
        self._write = write
        self._metadata = (("authorization", f"Bearer {os.environ['TRACKSIDE_TOKEN']}"),)

    def run(self) -> None:
        """Watch until the stream ends by itself."""
        for server in self._servers:
            try:
                self._watch(server)
            except grpc.RpcError as error:
                if error.code() not in GOES_ON:
                    raise
                threading.Event().wait(PAUSE_SECONDS)
            else:
                return

    def _watch(self, server: str) -> None:
        name, stub, method, request = STUBS[self._service]
        start = WatchStart(position=WATCH_POSITION_BEGINNING)
        if self.cursor:
            start = WatchStart(cursor=self.cursor)
        with grpc.insecure_channel(server, OPTIONS) as first:
            addresses = (
                ServersServiceStub(first)
                .GetServer(GetServerRequest(), metadata=self._metadata, timeout=CONNECT_SECONDS)
                .server.addresses
            )
        with grpc.insecure_channel(addresses[name], OPTIONS) as channel:
            watch = getattr(stub(channel), method)
            uncovered: list[Item] = []
            for response in watch(
                request(run_id=self._run_id, start=start), metadata=self._metadata
            ):
                uncovered += items_of(response)
                if response.cursor:
                    self._write_down(uncovered)
                    uncovered.clear()
                    self.cursor = response.cursor

    def _write_down(self, items: list[Item]) -> None:
        for sequence, item in items:
            digest = hashlib.sha256(item.SerializeToString(deterministic=True)).hexdigest()
            told = {"service": self._service, "sequence": sequence, "digest": digest}
            self._write(json.dumps(told))


def main(run_id: str, file: str, *servers: str) -> int:
    """Watch all three services side by side; return the exit code."""
    failures: list[BaseException] = []
    lock = threading.Lock()
    with Path(file).open("a", encoding="utf-8") as output:

        def write(line: str) -> None:
            with lock:
                output.write(f"{line}\n")
                output.flush()

        def watch(service: str) -> None:
            try:
                Watcher(service, run_id, list(servers), write).run()
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=watch, args=(service,)) for service in STUBS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
