"""The standard health service, by the name of each service.

Written here and not taken from grpcio-health-checking: its watches write to a grpc context and
never end, so that each would hold up the going down of a server for the whole grace.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import PartNotFoundError

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

# The type stubs of this package are older than this message.
_ListResponse: Final = GetMessageClass(
    Default().FindMessageTypeByName("grpc.health.v1.HealthListResponse")
)


class Health:
    """Tells of each service, and of all together by the empty name, whether it serves.

    Args:
        names: The full names of the services; they serve from the start.
    """

    descriptor: ServiceDescriptor = Default().FindServiceByName("grpc.health.v1.Health")

    def __init__(self, names: Iterable[str]) -> None:
        self._serving = dict.fromkeys(names, True)
        self._is_going_down = False
        self._changed = asyncio.Event()

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations, by the method's name in the schema."""
        return {"Check": self.check, "Watch": self.watch, "List": self.list}

    def set_serving(self, name: str, *, serving: bool) -> None:
        """Say whether the service with this full name serves now."""
        self._serving[name] = serving
        self._wake()

    def go_down(self) -> None:
        """Say for good that nothing serves any more."""
        self._is_going_down = True
        self._wake()

    async def check(
        self, request: health_pb2.HealthCheckRequest, _call: Call
    ) -> health_pb2.HealthCheckResponse:
        """Return whether the named service serves."""
        status = self._status(request.service)
        if status == UNKNOWN:
            msg = "There is no such service here."
            raise PartNotFoundError(msg)
        return health_pb2.HealthCheckResponse(status=status)

    async def watch(
        self, request: health_pb2.HealthCheckRequest, call: Call
    ) -> AsyncIterator[bytes]:
        """Yield whether the named service serves, now and whenever it changes."""
        last = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status).SerializeToString()
                last = status
            if call.draining.is_set():
                return
            await changed.wait()

    async def list(self, _request: Message, _call: Call) -> Message:
        """Return the same for every service."""
        statuses = {name: {"status": self._status(name)} for name in ("", *self._serving)}
        return json_format.ParseDict({"statuses": statuses}, _ListResponse())

    def _status(self, name: str) -> int:
        if name and name not in self._serving:
            return UNKNOWN
        serves = self._serving[name] if name else all(self._serving.values())
        return SERVING if serves and not self._is_going_down else NOT_SERVING

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
