"""The gRPC server that every process of ours runs: what grpcio leaves open is closed here, once."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

import grpc
import grpc.aio

from trackside_serving.addresses import Address
from trackside_serving.admission import Limits, OpenCalls
from trackside_serving.binding import bind
from trackside_serving.calls import Service
from trackside_serving.dispatch import Dispatcher, Translations
from trackside_serving.errors import ShuttingDownError
from trackside_serving.health import Health
from trackside_serving.reflection import V1_SERVICE, V1ALPHA_SERVICE, Reflection
from trackside_serving.servers_service import Installation, ServersService
from trackside_serving.settings import Settings
from trackside_serving.tokens import TokenVerifier
from trackside_serving.watchdog import Patience, Watchdog

LARGEST_MESSAGE: Final = 16 << 20
LARGEST_METADATA: Final = 16 << 10

_OPTIONS: Final = (
    # A second server at one port must fail, not take every other connection.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    # One limit instead of a soft and a hard one: between those it is decided by lot.
    ("grpc.max_metadata_size", LARGEST_METADATA),
    ("grpc.absolute_max_metadata_size", LARGEST_METADATA),
    # Finds watchers that are gone; lets clients ping every 10 s and cuts off those that flood.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
_STOP_GRACE: Final = 1.0
_ROOM_FOR_REFUSALS: Final = 256
"""Calls beyond our own limits that grpc lets in, for us to refuse with a reason."""

_logger: Final = logging.getLogger(__name__)


class Server:
    """Serves services, with health, reflection and `ServersService` beside them.

    To be made and used in one running loop, of any kind.

    Args:
        services: What to serve.
        verifier: Checks the tokens.
        installation: What `ServersService` tells; the server enters its own addresses.
        settings: Where to listen, and the limits.
        translations: What callers are told of errors that are no `ServiceError`, by class.

    Attributes:
        health: Where a service says that it cannot serve for now.
        open_calls: The calls that are under way.
        draining: Set when the server goes down; each `Call` has it too.
        address: Where clients find it, known after `start`.

    Raises:
        ServiceIncompleteError: A service lacks a method, or a method a rule.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        verifier: TokenVerifier,
        installation: Installation,
        settings: Settings,
        translations: Translations | None = None,
    ) -> None:
        mounted: list[Service] = [*services, ServersService(installation)]
        self._names = [service.descriptor.full_name for service in mounted]
        self._installation = installation
        self._settings = settings
        self.address = ""
        self.draining = asyncio.Event()
        self.health = Health(self._names)
        limits = Limits(
            control=settings.control_limit,
            unary=settings.unary_limit,
            streams=settings.stream_limit,
            streams_of_caller=settings.caller_stream_limit,
        )
        self.open_calls = OpenCalls(limits)
        self._watchdog = Watchdog(
            self.open_calls,
            Patience(slow=settings.slow_consumer_after, idle=settings.stream_idle_after),
            verifier.refusal,
        )
        verifier.revocations.on_news(self._watchdog.look_at_tokens)
        self._watching: asyncio.Task[None] | None = None
        dispatcher = Dispatcher(
            [*mounted, self.health, *self._reflections()],
            verifier=verifier,
            open_calls=self.open_calls,
            draining=self.draining,
            translations=translations,
        )
        self._server = grpc.aio.server(
            handlers=[dispatcher],
            options=_OPTIONS,
            maximum_concurrent_rpcs=limits.total + _ROOM_FOR_REFUSALS,
            compression=grpc.Compression.NoCompression,
        )

    def _reflections(self) -> Iterable[Service]:
        versions = (V1_SERVICE, V1ALPHA_SERVICE)
        names = [*self._names, self.health.descriptor.full_name, *(v.full_name for v in versions)]
        return [Reflection(version, names) for version in versions]

    async def start(self) -> int:
        """Listen and serve; return the port.

        Raises:
            StartError: Why it does not, in one line.
        """
        port = bind(self._server, self._settings)
        listening = Address(Address.parse(self._settings.listen).host, port)
        self.address = self._settings.advertised_address or str(listening)
        for name in self._names:
            self._installation.addresses[name] = self.address
        await self._server.start()
        self._watching = asyncio.create_task(self._watchdog.run(), name="watchdog of open calls")
        _logger.info("listening", extra={"address": str(listening)})
        return port

    async def drain_and_stop(self, grace: float | None = None) -> None:
        """Go down: tell health, refuse new calls, let the open ones end, end what is left.

        Streams are told at once (`Call.draining`); calls still open after `grace` seconds
        (default: the setting) are ended with SHUTTING_DOWN. Returns at most two seconds later.
        """
        self.health.go_down()
        self.draining.set()
        await self.open_calls.wait_until_ended(
            within=self._settings.drain_grace if grace is None else grace
        )
        for opened in self.open_calls:
            opened.end(ShuttingDownError())
        if self._watching is not None:
            self._watching.cancel()
        await self._server.stop(_STOP_GRACE)
        _logger.info("stopped", extra={"address": self.address})
