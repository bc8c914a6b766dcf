"""Watches: iterators that go on from their last cursor whatever falls over in between."""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, Self, TypeVar

import grpc
from google.protobuf.message import Message

from trackside.client.connection import Connection, Stream
from trackside.client.errors import ServerUnreachableError, TracksideError
from trackside.client.failed_calls import error_of_call
from trackside.client.resumption import Resumption
from trackside_protos.live.v1.live_service_pb2 import WatchLiveRequest, WatchLiveResponse
from trackside_protos.logs.v1.logs_service_pb2 import (
    LogFilter,
    WatchLogsRequest,
    WatchLogsResponse,
)
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    SeriesFilter,
    WatchMetricsRequest,
    WatchMetricsResponse,
)
from trackside_protos.runs.v1.runs_service_pb2 import (
    WatchRunRequest,
    WatchRunResponse,
    WatchRunsRequest,
    WatchRunsResponse,
)
from trackside_protos.watches.v1.watch_start_pb2 import WatchPosition, WatchStart

Response = TypeVar("Response", bound=Message)

NOW = WatchStart(position=WatchPosition.WATCH_POSITION_NOW)
"""Begins with the present state."""

BEGINNING = WatchStart(position=WatchPosition.WATCH_POSITION_BEGINNING)
"""Begins before sequence 1."""


def after(cursor: str) -> WatchStart:
    """Return a start that goes on after a cursor."""
    return WatchStart(cursor=cursor)


def last(count: int) -> WatchStart:
    """Return a start that sends the latest items, then what is new."""
    return WatchStart(last=count)


class Watch(Generic[Response]):
    """An ordered stream of responses without a gap or a repeat, over any number of connections.

    Reliable: an interruption is waited out and the watch goes on after its last cursor.
    Only what waiting cannot mend is raised: a cursor that expired, a run that is gone, a
    token that was refused, and a server that never answered in the first place (unless
    `patient`). Iterate from one thread; `stop` may be called from any.
    """

    def __init__(
        self,
        server: str,
        open_at: Callable[[str], Stream[Response]],
        *,
        endless: bool = False,
        patient: bool = False,
    ) -> None:
        self._server = server
        self._open_at = open_at
        self._endless = endless
        self._resumption = Resumption[Response](patient=patient)
        self._ready: deque[Response] = deque()
        self._call: Stream[Response] | None = None
        self._ended = False
        self._stopped = threading.Event()

    @property
    def cursor(self) -> str:
        """Resumes after everything received so far; empty before the first cursor."""
        return self._resumption.cursor

    @property
    def outage(self) -> TracksideError | None:
        """Why nothing comes at present; `None` while the watch is connected."""
        return self._resumption.outage

    def stop(self) -> None:
        """End the watch: its iterator stops soon, without an error. Idempotent."""
        self._stopped.set()
        call = self._call
        if call is not None:
            call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            # It may have left a lock of the call locked, which `cancel` would wait for.
            threading.Thread(target=self.stop, daemon=True).start()
        else:
            self.stop()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Response:
        while not self._stopped.is_set():
            if self._ready:
                return self._ready.popleft()
            if self._ended:
                break
            self._advance()
        raise StopIteration

    def _advance(self) -> None:
        """Receive one response, or begin again, or notice the end."""
        try:
            call = self._call or self._open_at(self._resumption.cursor)
            self._call = call
            if self._stopped.is_set():  # `stop` may have come before there was a call to cancel
                call.cancel()
            self._ready.extend(self._resumption.received(next(call)))
        except StopIteration:
            self._end()
        except grpc.RpcError as error:
            self._wait_out(error_of_call(error, self._server))
        except TracksideError as error:
            self._wait_out(error)

    def _end(self) -> None:
        self._call = None
        if self._endless:
            self._wait_out(ServerUnreachableError("the server ended the watch"))
            return
        self._ready.extend(self._resumption.ended())
        self._ended = True

    def _wait_out(self, error: TracksideError) -> None:
        self._call = None
        if not self._stopped.is_set():
            self._stopped.wait(self._resumption.broke(error))


def watch_run(
    connection: Connection, run_id: str, start: WatchStart = NOW, *, patient: bool = False
) -> Watch[WatchRunResponse]:
    """Watch one run; ends after it is sealed."""

    def open_at(cursor: str) -> Stream[WatchRunResponse]:
        request = WatchRunRequest(run_id=run_id, start=_start(start, cursor))
        return connection.open_stream(connection.runs.WatchRun, request)

    return Watch(connection.location.server, open_at, patient=patient)


def watch_runs(
    connection: Connection, filter_text: str = "", start: WatchStart = NOW, *, patient: bool = False
) -> Watch[WatchRunsResponse]:
    """Watch the runs that match a filter; never ends by itself."""

    def open_at(cursor: str) -> Stream[WatchRunsResponse]:
        request = WatchRunsRequest(filter=filter_text, start=_start(start, cursor))
        return connection.open_stream(connection.runs.WatchRuns, request)

    return Watch(connection.location.server, open_at, endless=True, patient=patient)


def watch_logs(
    connection: Connection,
    run_id: str,
    start: WatchStart = NOW,
    *,
    log_filter: LogFilter | None = None,
    patient: bool = False,
) -> Watch[WatchLogsResponse]:
    """Watch a run's log; ends after the run is sealed."""

    def open_at(cursor: str) -> Stream[WatchLogsResponse]:
        request = WatchLogsRequest(run_id=run_id, start=_start(start, cursor), filter=log_filter)
        return connection.open_stream(connection.logs.WatchLogs, request)

    return Watch(connection.location.server, open_at, patient=patient)


def watch_metrics(
    connection: Connection,
    run_id: str,
    start: WatchStart = NOW,
    *,
    series_filter: SeriesFilter | None = None,
    patient: bool = False,
) -> Watch[WatchMetricsResponse]:
    """Watch a run's points; ends after the run is sealed."""

    def open_at(cursor: str) -> Stream[WatchMetricsResponse]:
        request = WatchMetricsRequest(
            run_id=run_id, start=_start(start, cursor), filter=series_filter
        )
        return connection.open_stream(connection.metrics.WatchMetrics, request)

    return Watch(connection.location.server, open_at, patient=patient)


def watch_live(
    connection: Connection, request: WatchLiveRequest, *, patient: bool = False
) -> Watch[WatchLiveResponse]:
    """Watch the parts of a run that `request` names; ends after the run is sealed."""
    return Watch(
        connection.location.server, partial(_open_live, connection, request), patient=patient
    )


def _open_live(
    connection: Connection, request: WatchLiveRequest, cursor: str
) -> Stream[WatchLiveResponse]:
    resumed = WatchLiveRequest()
    resumed.CopyFrom(request)
    if cursor:
        resumed.cursor = cursor
    return connection.open_stream(connection.live.WatchLive, resumed)


def _start(start: WatchStart, cursor: str) -> WatchStart:
    return after(cursor) if cursor else start
