"""The other replicas of this service, as far as reads are handed on to them.

A read is handed on with the caller's own token, so the peer decides again what the caller may
see, and counts the read as the caller's. Each has a channel of its own for as long as it lasts:
none is held up by another, and nothing is kept of peers that come and go.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trackside_journal.tasks import closing
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputRequest, ReadOutputResponse
from trackside_runs.errors import AgentAwayError
from trackside_serving.calls import Call
from trackside_serving.errors import ServiceError
from trackside_serving.places import RUNS
from trackside_serving.remote import RemoteServer

_READ_AHEAD_BYTES: Final = 256 << 10
_GONE: Final = frozenset({"SERVICE_UNREACHABLE", "SHUTTING_DOWN"})
_MOVED: Final = "AGENT_ELSEWHERE"


@dataclass(frozen=True, slots=True)
class Peers:
    """Reaches them."""

    certificate: Path | None = None
    """The certificate chain by which all of them are known; None: they speak no TLS."""

    async def read(
        self, address: str, request: ReadOutputRequest, call: Call
    ) -> AsyncGenerator[bytes]:
        """Yield what another replica answers to a read, no faster than it is taken.

        Closed or cancelled, it ends the read there too.

        Raises:
            AgentAwayError: The replica is gone, or its agent is connected to another now.
            ServiceError: What the replica says.
        """
        handed_on = ReadOutputRequest()
        handed_on.CopyFrom(request)
        handed_on.handed_on = True
        offset = request.offset
        peer = RemoteServer(
            address,
            token=lambda: call.token,
            certificate=self.certificate,
            read_ahead=_READ_AHEAD_BYTES,
        )
        try:
            stream = peer.stream_for_caller(f"/{RUNS}/ReadOutput")(handed_on, call)
            async with closing(stream) as responses:
                async for response in responses:
                    offset += len(ReadOutputResponse.FromString(response).data)
                    yield response
        except ServiceError as error:
            if call.draining.is_set():
                raise
            if error.reason in _GONE:
                message = "The replica that the agent of the run is connected to went away."
            elif error.reason == _MOVED:
                message = "The agent of the run is just changing to another replica."
            else:
                raise
            raise AgentAwayError(message, metadata={"offset": str(offset)}) from None
        finally:
            await peer.close()
