"""ServersService: tells clients what they are talking to, on every server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from trackside_protos.servers.v1 import servers_service_pb2
from trackside_serving.calls import Call, Implementation
from trackside_serving.clock import forward_clock

VERSION: Final = version("trackside-serving")
"""The version of the software: all members but the plugin interface have the same."""


@dataclass(slots=True)
class Installation:
    """What a server says of the installation it belongs to.

    Attributes:
        server_id: Its identity; cursors carry it.
        store: The store, for example `sqlite 3.40.1`.
        addresses: Where each service listens, by full service name. A server enters its own
            when it starts; those of services that run apart are given.
    """

    server_id: str
    store: str
    addresses: dict[str, str] = field(default_factory=dict[str, str])


class ServersService:
    """Answers with the installation and the caller."""

    descriptor: ServiceDescriptor = servers_service_pb2.DESCRIPTOR.services_by_name[
        "ServersService"
    ]

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._clock_ms = forward_clock()

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementation, by the method's name in the schema."""
        return {"GetServer": self.get_server}

    async def get_server(
        self, _request: servers_service_pb2.GetServerRequest, call: Call
    ) -> servers_service_pb2.GetServerResponse:
        """Return the server, its time, and whom the caller's token speaks for."""
        server = servers_service_pb2.Server(
            server_id=self._installation.server_id,
            version=VERSION,
            addresses=self._installation.addresses,
            durability=servers_service_pb2.DURABILITY_FULL,
            store=self._installation.store,
            subject=call.caller.subject,
            role=call.caller.role.value,
        )
        response = servers_service_pb2.GetServerResponse(server=server)
        response.current_time.FromMilliseconds(self._clock_ms())
        return response
