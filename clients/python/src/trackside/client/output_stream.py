"""One read of an output, which goes on where it was whatever falls over in between."""

import threading
import time
from typing import Final, Self

import grpc

from trackside.client.connection import Connection, Stream
from trackside.client.errors import TracksideError
from trackside.client.failed_calls import error_of_call
from trackside.client.resumption import FIRST_DELAY, LAST_DELAY, is_passing
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputRequest, ReadOutputResponse

PATIENCE_SECONDS: Final = 120.0
"""How long nothing may come before an interrupted read is given up."""


class OutputStream:
    """The responses of a read, in order: what there is, then its bytes or its pages of files.

    An interruption of a file is waited out, and the read goes on behind the last byte, of the same
    version only. Iterate from one thread; `stop` may be called from any, and raises there.
    """

    def __init__(
        self,
        connection: Connection,
        request: ReadOutputRequest,
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._connection = connection
        self._request = ReadOutputRequest()
        self._request.CopyFrom(request)
        self._patience = patience
        self._call: Stream[ReadOutputResponse] | None = None
        self._has_begun = False
        self._is_done = False
        self._failures = 0
        self._heard = time.monotonic()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the read."""
        self._stopped.set()
        if (call := self._call) is not None:
            call.cancel()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ReadOutputResponse:
        while not self._is_done:
            try:
                response = self._receive()
            except StopIteration:
                self._is_done = True
            except grpc.RpcError as error:
                self._wait_out(error_of_call(error, self._connection.location.server))
            except TracksideError as error:
                self._wait_out(error)
            else:
                if self._take(response):
                    return response
        raise StopIteration

    def _receive(self) -> ReadOutputResponse:
        if self._call is None:
            self._call = self._connection.open_stream(
                self._connection.runs.ReadOutput, self._request
            )
        if self._stopped.is_set():  # `stop` may have come before there was a call to cancel
            self._call.cancel()
        return next(self._call)

    def _take(self, response: ReadOutputResponse) -> bool:
        """Note how far the read has come; return whether this is new."""
        self._heard, self._failures = time.monotonic(), 0
        if response.HasField("output"):
            is_first, self._has_begun = not self._has_begun, True
            self._request.version = response.file.version
            return is_first
        size = len(response.data)
        self._request.offset += size
        if self._request.length:
            self._is_done = size == self._request.length
            self._request.length -= size
        return True

    def _wait_out(self, error: TracksideError) -> None:
        """Wait until it is worth asking again.

        Raises:
            TracksideError: `error` itself, when waiting would not mend it.
        """
        self._call = None
        silence = time.monotonic() - self._heard
        is_file = self._has_begun and bool(self._request.version)
        if self._stopped.is_set() or not (is_file and is_passing(error)):
            raise error
        if silence > self._patience:
            raise error
        delay = min(LAST_DELAY, FIRST_DELAY * 2 ** min(self._failures, 10))
        self._failures += 1
        self._stopped.wait(max(delay, error.facts.retry_after or 0.0))
