"""What a service is made of: calls, and implementations that know nothing of grpc.

An implementation is a plain callable, so that a server mounts it and another service of the
same process calls it alike:

    async def get_run(request: GetRunRequest, call: Call) -> GetRunResponse
    def watch_run(request: WatchRunRequest, call: Call) -> AsyncIterator[bytes]
    def report_run(requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]

A stream yields encoded responses (messages are encoded for it, which costs more); a stream of
requests is handed over as it came, and the service parses.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from trackside_serving.errors import MalformedMessageError
from trackside_serving.identity import Caller

Implementation = Callable[[Any, "Call"], Any]
"""What answers one method; one of the three forms above, by the method's arity."""

MessageT = TypeVar("MessageT", bound=Message)


@dataclass(slots=True)
class Call:
    """One call, as its implementation sees it.

    Attributes:
        caller: Whom the token speaks for.
        method: The full name, `/trackside.runs.v1.RunsService/GetRun`.
        peer: The address that called.
        request_id: Names this call in the server's log.
        deadline: When the caller stops waiting, on the clock of `time.monotonic`, if ever.
        draining: Set when the server goes down: a stream that waits then ends, by returning or
            with `ShuttingDownError`; the caller is told the latter either way.
        resume_cursor: A watch keeps its latest cursor here; when the server ends the stream
            (slow, going down), the caller gets it as metadata `cursor`.
        token: The caller's own token, to call another service on the caller's behalf. Not to be
            logged; left out of what is printed of a call.
    """

    caller: Caller
    method: str = ""
    peer: str = ""
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    deadline: float | None = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    resume_cursor: str = ""
    token: str = field(default="", repr=False)

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline, if there is one; never below 0."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def part(self) -> "Call":
        """Return a copy for a call made on its behalf: the same caller, its own cursor."""
        return replace(self, resume_cursor="")


class Service(Protocol):
    """One service of a schema, with an implementation of each of its methods."""

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema, for example `DESCRIPTOR.services_by_name["RunsService"]`."""
        ...

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations, by the method's name in the schema."""
        ...


def parse(kind: type[MessageT], data: bytes) -> MessageT:
    """Return the message that the bytes are.

    Raises:
        MalformedMessageError: They are not: cut off, nested too deep, or no UTF-8 in a text.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        raise MalformedMessageError from None
