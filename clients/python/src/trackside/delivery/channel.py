"""The ways to the server's services that all append streams of a process share."""

import os
import threading
from typing import Final

# When a program forks, grpc tells every user of every program about its own handlers. The level
# is read while it is imported; the program's children shall not inherit it.
_QUIET: Final = "GRPC_VERBOSITY" not in os.environ
if _QUIET:
    os.environ["GRPC_VERBOSITY"] = "ERROR"
import grpc  # noqa: E402 - see above

if _QUIET:
    del os.environ["GRPC_VERBOSITY"]

from trackside.client.authorization import authorization  # noqa: E402 - see above
from trackside.client.connection import address_of  # noqa: E402 - it imports grpc too
from trackside.location import Location, is_on_this_machine  # noqa: E402 - see above
from trackside.spool.frames import Service  # noqa: E402 - see above
from trackside_protos.servers.v1.servers_service_pb2 import (  # noqa: E402 - see above
    GetServerRequest,
    GetServerResponse,
)

_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),  # the streams do it, and they alone know what is to be sent again
)
_NAMES: Final = {
    Service.RUNS: "trackside.runs.v1.RunsService",
    Service.LOGS: "trackside.logs.v1.LogsService",
    Service.METRICS: "trackside.metrics.v1.MetricsService",
}
_GET_SERVER: Final = "/trackside.servers.v1.ServersService/GetServer"


class Channels:
    """Channels to the services, each where the known server says that it is."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._addresses: dict[str, str] | None = None

    def of(self, service: Service) -> grpc.Channel:
        """Return the channel to this service; may ask the server where that is.

        Raises:
            grpc.RpcError: The server did not answer.
        """
        known = self._location.server
        if self._addresses is None:
            self._addresses = self._ask(self._channel(known))
        return self._channel(address_of(_NAMES[service], known, self._addresses))

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what goes with every call."""
        return authorization(self._location)

    def forget(self) -> None:
        """Ask again where the services are: one was not there."""
        self._addresses = None

    def close(self) -> None:
        """Close all; calls under way end."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()

    def _ask(self, channel: grpc.Channel) -> dict[str, str]:
        get_server = channel.unary_unary(
            _GET_SERVER,
            request_serializer=GetServerRequest.SerializeToString,
            response_deserializer=GetServerResponse.FromString,
        )
        try:
            answer = get_server(GetServerRequest(), timeout=5.0, metadata=self.metadata())
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return {}  # something between us knows only the services
            raise
        return dict(answer.server.addresses)

    def _channel(self, address: str) -> grpc.Channel:
        with self._lock:
            if address not in self._channels:
                proxied = not is_on_this_machine(address)
                options = (*_OPTIONS, ("grpc.enable_http_proxy", int(proxied)))
                self._channels[address] = grpc.insecure_channel(address, options=options)
            return self._channels[address]
