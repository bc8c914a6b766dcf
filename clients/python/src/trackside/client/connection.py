"""One way to a server: lazily made channels, the token with every call, errors of our own."""

import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

import grpc

from trackside.client.authorization import authorization
from trackside.client.errors import ServerUnreachableError, TracksideError
from trackside.client.failed_calls import REQUEST_ID_KEY, error_of_call
from trackside.location import Location, discover, is_on_this_machine
from trackside_protos.servers.v1.servers_service_pb2 import GetServerRequest, Server
from trackside_protos.servers.v1.servers_service_pb2_grpc import ServersServiceStub

if TYPE_CHECKING:
    from trackside_protos.live.v1.live_service_pb2_grpc import LiveServiceStub
    from trackside_protos.logs.v1.logs_service_pb2_grpc import LogsServiceStub
    from trackside_protos.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
    from trackside_protos.runners.v1.runners_service_pb2_grpc import RunnersServiceStub
    from trackside_protos.runs.v1.runs_service_pb2_grpc import RunsServiceStub

UNARY_TIMEOUT: Final = 30.0
"""Seconds that a call may take unless it says otherwise."""

SERVICE_CONFIG: Final = {
    "methodConfig": [
        {
            # Every method, because every method of ours may be sent again: reads by nature,
            # creations by the run's id, appends by the batch's number.
            "name": [dict[str, str]()],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),  # a query of two million points
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
)

_CLOCKS_APART: Final = timedelta(seconds=2)

_ANY_HOST: Final = ("0.0.0.0", "[::]")  # noqa: S104  # recognised here, never bound

Request = TypeVar("Request")
Response = TypeVar("Response")
Received_co = TypeVar("Received_co", covariant=True)


class Stream(Protocol[Received_co]):
    """What a server sends, one response after the other; may be cancelled from any thread."""

    def __next__(self) -> Received_co: ...

    def cancel(self) -> bool:
        """End it: a waiting `next` raises soon."""
        ...


class Connection:
    """A way to one server and to the services that it names.

    Opens nothing before the first call. May be used from many threads; in a forked child
    it opens channels of its own.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self._lock = threading.RLock()
        self._channels: dict[str, grpc.Channel] = {}
        self._process_id = os.getpid()
        self._clock_offset: timedelta | None = None

    @classmethod
    def discover(cls, server: str | None = None) -> Self:
        """Return a connection to `server`, else to where environment and local home point."""
        found = discover()
        return cls(Location(server, found.token, found.home) if server else found)

    def again(self) -> "Connection":
        """Return another connection to the same server, which shares nothing with this one.

        A KeyboardInterrupt that strikes within grpc may leave a lock of its channel locked for
        good: whoever goes on after one does so by a new connection.
        """
        return Connection(self.location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every call and give up the channels. The next call opens new ones."""
        with self._lock:
            channels, self._channels = self._channels, {}
            for name in ("server", *_STUBS):
                self.__dict__.pop(name, None)
        for channel in channels.values():
            channel.close()

    @cached_property
    def server(self) -> Server:
        """What the server says of itself, asked once.

        Raises:
            TracksideError: The server could not be asked.
        """
        stub = ServersServiceStub(self._channel(self.location.server))
        response = self.call(stub.GetServer, GetServerRequest())
        if response.HasField("current_time"):
            offset = response.current_time.ToDatetime(UTC) - datetime.now(UTC)
            # What is less is the way here rather than the clock.
            self._clock_offset = offset if abs(offset) > _CLOCKS_APART else timedelta()
        return response.server

    def now(self) -> datetime:
        """Return the present by the server's clock; by this machine's if the server tells none.

        Raises:
            TracksideError: The server had not been asked before, and could not be.
        """
        if self._clock_offset is None:
            self._addresses()
            self._clock_offset = self._clock_offset or timedelta()
        return datetime.now(UTC) + self._clock_offset

    @cached_property
    def runs(self) -> "RunsServiceStub":
        """The service of runs."""
        from trackside_protos.runs.v1.runs_service_pb2_grpc import RunsServiceStub  # noqa: PLC0415

        return RunsServiceStub(self._channel_of("trackside.runs.v1.RunsService"))

    @cached_property
    def logs(self) -> "LogsServiceStub":
        """The service of log entries."""
        from trackside_protos.logs.v1.logs_service_pb2_grpc import LogsServiceStub  # noqa: PLC0415

        return LogsServiceStub(self._channel_of("trackside.logs.v1.LogsService"))

    @cached_property
    def metrics(self) -> "MetricsServiceStub":
        """The service of metric points."""
        from trackside_protos.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub  # noqa: PLC0415

        return MetricsServiceStub(self._channel_of("trackside.metrics.v1.MetricsService"))

    @cached_property
    def live(self) -> "LiveServiceStub":
        """The service that merges watches."""
        from trackside_protos.live.v1.live_service_pb2_grpc import LiveServiceStub  # noqa: PLC0415

        return LiveServiceStub(self._channel_of("trackside.live.v1.LiveService"))

    @cached_property
    def runners(self) -> "RunnersServiceStub":
        """The service of runners and agents."""
        from trackside_protos.runners.v1.runners_service_pb2_grpc import RunnersServiceStub  # noqa: PLC0415

        return RunnersServiceStub(self._channel_of("trackside.runners.v1.RunnersService"))

    def call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        timeout: float = UNARY_TIMEOUT,
    ) -> Response:
        """Make one call and return its answer.

        Raises:
            TracksideError: What the server said, or that nobody answered.
        """
        try:
            return method(request, timeout=timeout, metadata=self._metadata())
        except grpc.RpcError as error:
            raise error_of_call(error, self.location.server) from error
        except ValueError as error:
            raise _closed(error) from error

    def open_stream(
        self, method: "grpc.UnaryStreamMultiCallable[Request, Response]", request: Request
    ) -> Stream[Response]:
        """Begin a stream. What fails on it is a `grpc.RpcError`, which `error_of_call` reads.

        Raises:
            TracksideError: The connection was closed meanwhile.
        """
        try:
            return method(request, metadata=self._metadata())
        except ValueError as error:
            raise _closed(error) from error

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        named = ((REQUEST_ID_KEY, os.urandom(8).hex()),)
        return (*authorization(self.location), *named)

    def _channel_of(self, service: str) -> grpc.Channel:
        return self._channel(address_of(service, self.location.server, self._addresses()))

    def _addresses(self) -> Mapping[str, str]:
        try:
            return self.server.addresses
        except TracksideError as error:
            if error.status == "UNIMPLEMENTED":  # something between us that knows only the services
                return {}
            raise

    def _channel(self, address: str) -> grpc.Channel:
        with self._lock:
            if self._process_id != os.getpid():  # grpc's channels do not survive a fork
                self._channels, self._process_id = {}, os.getpid()
            if address not in self._channels:
                proxied = not is_on_this_machine(address)
                options = (*_OPTIONS, ("grpc.enable_http_proxy", int(proxied)))
                self._channels[address] = grpc.insecure_channel(address, options)
            return self._channels[address]


_STUBS: Final = ("runs", "logs", "metrics", "live", "runners")


def address_of(service: str, known: str, addresses: Mapping[str, str]) -> str:
    """Return where to reach a service, given the address that is known to work.

    A server whose services share one address is reached where it was reached before, so
    that a forwarded port stays good.
    """
    told = addresses.get(service, "")
    if not told or len(set(addresses.values())) == 1:
        return known
    host, _, port = told.rpartition(":")
    return f"{known.rpartition(':')[0]}:{port}" if host in _ANY_HOST else told


def _closed(error: ValueError) -> TracksideError:
    """Return what grpc means by a `ValueError`: the channel was closed by another thread."""
    message = f"the connection was closed: {error}"
    return ServerUnreachableError(message)


_default: dict[int, Connection] = {}


def default_connection() -> Connection:
    """Return this process's connection to where environment and local home point, made once."""
    return _default.setdefault(os.getpid(), Connection.discover())
