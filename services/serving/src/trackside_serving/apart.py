"""A service as a process of its own, from its settings to SIGINT or SIGTERM."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from trackside_serving import process
from trackside_serving.calls import Service
from trackside_serving.credentials import Credentials
from trackside_serving.errors import ServiceError
from trackside_serving.log import configure_log
from trackside_serving.places import (
    USUAL_ADDRESSES,
    addresses,
    short_name,
    store_setting,
    store_url,
)
from trackside_serving.remote import RemoteServer
from trackside_serving.server import Server
from trackside_serving.servers_service import Installation
from trackside_serving.settings import Settings, load_settings
from trackside_serving.starting import StoreError


class Engine(Protocol):
    """What works behind a service."""

    async def start(self) -> None:
        """Begin to work; before the server listens."""
        ...

    async def close(self) -> None:
        """Give everything back; after the server has gone down."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A service that was built: its engine, what to mount of it, and what its store is called."""

    engine: Engine
    services: Sequence[Service]
    store: str


class Surroundings:
    """What a service that runs apart is built from. Made in a running loop.

    Attributes:
        settings: The process's settings.
        credentials: Its keys and tokens.
        addresses: Where each service is, by full name; this one's own once it listens.
        database_url: Its store.
        redis_url: Where other replicas are heard of, if there are any.
    """

    def __init__(self, settings: Settings, service: str) -> None:
        self.settings = settings
        self.credentials = Credentials.of_settings(settings, f"service-{short_name(service)}")
        self.addresses = addresses(settings)
        self.database_url = store_url(settings, service)
        self.redis_url = settings.redis_url or None
        self._remotes: dict[str, RemoteServer] = {}

    def remote(self, service: str) -> RemoteServer:
        """Return the server of another service."""
        address = self.addresses[service]
        if address not in self._remotes:
            self._remotes[address] = RemoteServer(
                address,
                token=self.credentials.service_token,
                certificate=self.settings.tls_certificate,
            )
        return self._remotes[address]

    async def close(self) -> None:
        """Give up the channels to the others."""
        for remote in self._remotes.values():
            await remote.close()


Build = Callable[[Surroundings], Built]


def run_apart(service: str, build: Build) -> int:
    """Serve one service until SIGINT or SIGTERM; return the exit status of the process."""

    async def serve(stop: asyncio.Event) -> None:
        settings = load_settings()
        if "listen" not in settings.model_fields_set:
            settings = settings.model_copy(update={"listen": USUAL_ADDRESSES[service]})
        configure_log(settings.log_level)
        async with AsyncExitStack() as leaving:
            surroundings = Surroundings(settings, service)
            leaving.push_async_callback(surroundings.close)
            built = await _started(build, surroundings)
            leaving.push_async_callback(built.engine.close)
            server = _server(built, surroundings)
            await server.start()
            leaving.push_async_callback(server.drain_and_stop)
            await stop.wait()

    return process.run(serve)


async def _started(build: Build, surroundings: Surroundings) -> Built:
    try:
        built = build(surroundings)
        await built.engine.start()
    except ServiceError as error:
        msg = f"{error.message} {store_setting(surroundings.settings)} says where the store is."
        raise StoreError(msg) from error
    return built


def _server(built: Built, surroundings: Surroundings) -> Server:
    credentials = surroundings.credentials
    return Server(
        built.services,
        verifier=credentials.verifier,
        installation=Installation(credentials.server_id, built.store, surroundings.addresses),
        settings=surroundings.settings,
    )
