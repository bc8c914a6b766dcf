"""One service's append stream: one for all runs, opened while there is something to send."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol, cast

import grpc

from trackside.chance import CHANCE
from trackside.client.errors import TracksideError
from trackside.client.failed_calls import error_of_call, let_go
from trackside.delivery import refusals, wire
from trackside.delivery.channel import Channels
from trackside.delivery.clock_news import ClockNews
from trackside.delivery.depot import Depot
from trackside.delivery.refusals import Answer
from trackside.spool.frames import SERVICES, Service
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunResponse, ReportRunResponse

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
HURRIED_PAUSE: Final = 0.2
"""The longest pause while somebody waits for the delivery, as a program does that ends."""

IDLE_SECONDS: Final = 30.0
"""A stream on which nothing is sent for so long is closed; not that of the runs, by which
control requests come."""

BYTES_UNDER_WAY: Final = 8 << 20
"""So much of all runs together may be sent without an acknowledgement."""

_CREATE_RUN: Final = "/trackside.runs.v1.RunsService/CreateRun"
_CREATE_SECONDS: Final = 10.0


class _Call(Protocol):
    """What is used of a call: grpc names no type for it."""

    def __iter__(self) -> Iterator[wire.Response]: ...

    def cancel(self) -> bool: ...


class ServiceStream:
    """Sends what there is for one service, for ever, from a thread of its own."""

    def __init__(self, depot: Depot, service: Service, channels: Channels) -> None:
        self._depot = depot
        self._service = service
        self._channels = channels
        self._doubtful = 0
        self._pause = FIRST_PAUSE
        self._call: _Call | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"trackside-{service.name.lower()}", daemon=True
        )

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the stream and the thread. The depot must have been stopped."""
        with self._depot.lock:
            if self._call is not None:
                self._call.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while self._wait_for_work():
            answer = self._try_exchange()
            with self._depot.lock:
                self._doubtful = answer.doubtful
                if answer.again_after is None:
                    self._wait_for(self._next_pause(), hurried=HURRIED_PAUSE)
                else:
                    self._wait_for(answer.again_after, hurried=answer.again_after)

    def _wait_for_work(self) -> bool:
        work = self._depot.work[self._service]
        with self._depot.lock:
            while not self._depot.stopped and not self._has_work():
                work.wait(1.0)
            return not self._depot.stopped

    def _has_work(self) -> bool:
        if self._service is Service.RUNS and any(self._depot.uncreated()):
            return True
        return any(
            lane.shipment.may_send() and not lane.is_empty
            for lane in self._depot.lanes(self._service)
        )

    def _wait_for(self, seconds: float, *, hurried: float) -> None:
        begun = time.monotonic()
        while not self._depot.stopped:
            allowed = min(seconds, hurried) if self._depot.waiting_count else seconds
            left = begun + allowed - time.monotonic()
            if left <= 0:
                return
            self._depot.work[self._service].wait(left)

    def _next_pause(self) -> float:
        pause = self._pause
        self._pause = min(pause * 2, LONGEST_PAUSE)
        return pause * CHANCE.uniform(0.5, 1.0)

    def _try_exchange(self) -> Answer:
        try:
            return self._exchange()
        except TracksideError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - one bad answer must not end all delivery
            failure = TracksideError(f"{type(error).__name__}: {error}")
        with self._depot.lock:
            self._depot.failed(failure)
        return Answer()

    def _exchange(self) -> Answer:
        """Open the stream, send and take answers until it ends; say how to go on."""
        requests = Requests(self._depot, self._service, self._create, self._doubtful)
        try:
            channel = self._channels.of(self._service)
            with self._depot.lock:
                if self._depot.stopped:
                    return Answer()
                for lane in self._depot.lanes(self._service):
                    lane.begin_again()
                self._depot.wake(self._service)
                call = self._call = self._open(channel, requests)
            for response in call:
                self._take(response)
            answer = Answer()
        except grpc.RpcError as error:
            let_go(error)
            with self._depot.lock:
                under_way = self._depot.loads[self._service].batches
                answer = self._settle(error, under_way=under_way)
        finally:
            with self._depot.lock:
                self._call = None
                requests.end()
        return answer

    def _settle(self, error: grpc.RpcError, *, under_way: int) -> Answer:
        if self._depot.stopped:
            return Answer()
        self._channels.forget()
        return refusals.settle(
            self._depot, self._service, error_of_call(error, self._depot.location.server), under_way
        )

    def _open(self, channel: grpc.Channel, requests: "Requests") -> _Call:
        open_stream = cast(
            "Callable[..., _Call]",
            channel.stream_stream(
                wire.METHODS[self._service],
                request_serializer=None,
                response_deserializer=wire.RESPONSES[self._service].FromString,
            ),
        )
        return open_stream(iter(requests), metadata=self._channels.metadata())

    def _take(self, response: wire.Response) -> None:
        if response.HasField("acknowledgement"):
            ack = response.acknowledgement
            with self._depot.lock:
                key = (ack.run_id, ack.producer_id, ack.epoch)
                lane = self._depot.lane(self._service, key)
                if lane and lane.shipment.acknowledge(self._service, ack.through_sequence):
                    self._pause = FIRST_PAUSE
                self._depot.advanced(lane.shipment if lane else None, self._service)
        if isinstance(response, ReportRunResponse) and response.HasField("control"):
            self._depot.on_control(response.control_run_id, response.control)

    def _create(self) -> None:
        """Create the runs that the server does not know yet."""
        with self._depot.lock:
            waiting = list(self._depot.uncreated())
        for shipment in waiting:
            assert shipment.create is not None
            try:
                call = self._channels.of(Service.RUNS).unary_unary(
                    _CREATE_RUN,
                    request_serializer=type(shipment.create).SerializeToString,
                    response_deserializer=CreateRunResponse.FromString,
                )
                call(shipment.create, timeout=_CREATE_SECONDS, metadata=self._channels.metadata())
            except grpc.RpcError as error:
                told = error_of_call(error, self._depot.location.server)
                with self._depot.lock:
                    refusals.settle_creation(self._depot, shipment, told)
            else:
                with self._depot.lock:
                    shipment.set_created(created=True)
                    shipment.go_on()
                    self._depot.advanced(shipment, *SERVICES)


class Requests:
    """What one stream sends, as the iterator that grpc drains from a thread of its own.

    The first `doubtful` batches are sent one at a time, to find the one that is refused.
    """

    def __init__(
        self,
        depot: Depot,
        service: Service,
        create: Callable[[], None],
        doubtful: int,
    ) -> None:
        self._depot = depot
        self._service = service
        self._create = create
        self._doubtful = doubtful
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        clock = ClockNews()
        for batch in self._batches():
            if self._service is Service.RUNS and (news := clock.next()) is not None:
                yield news
            yield batch

    def _batches(self) -> Iterator[bytes]:
        while True:
            if self._service is Service.RUNS and any(self._depot.uncreated()):
                self._create()
            with self._depot.lock:
                idle_since = time.monotonic()
                while (request := self._next()) is None:
                    if self._is_over(idle_since):
                        return
                    if not self._depot.work[self._service].wait(1.0):
                        self._depot.wake(self._service)  # what was to wait may have waited enough
                    if self._service is Service.RUNS and any(self._depot.uncreated()):
                        break
            if request is not None:
                yield request

    def end(self) -> None:
        """Send nothing more: the stream has ended. The lock must be held."""
        self._ended = True
        self._depot.work[self._service].notify_all()

    def _is_over(self, idle_since: float) -> bool:
        if self._ended or self._depot.stopped:
            return True
        if self._service is Service.RUNS or self._depot.loads[self._service].batches:
            return False
        return time.monotonic() - idle_since > IDLE_SECONDS

    def _next(self) -> bytes | None:
        """Return the next request, within what may be under way."""
        if self._ended or self._depot.stopped:
            return None
        load = self._depot.loads[self._service]
        if load.size_bytes >= BYTES_UNDER_WAY or (self._doubtful and load.batches):
            return None
        request = self._depot.next_request(self._service)
        if request is not None:
            self._doubtful = max(0, self._doubtful - 1)
        return request
