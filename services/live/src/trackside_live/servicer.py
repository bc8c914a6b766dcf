"""LiveService's one method."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf.descriptor import ServiceDescriptor

from trackside_journal import wire
from trackside_journal.tasks import closing
from trackside_live.cursor import LiveCursor, decode
from trackside_live.cursor_field import last_string
from trackside_live.merge import merge
from trackside_protos.live.v1 import live_service_pb2
from trackside_protos.logs.v1 import logs_service_pb2
from trackside_protos.metrics.v1 import metrics_service_pb2
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import InvalidFieldError, ServiceError

_CURSOR_FIELD: Final = 4
_CURSOR_FACTS: Final = frozenset({"earliest", "latest"})
"""The facts of an error that are cursors."""

WatchPart = Callable[[Any, Call], AsyncIterator[bytes]]
"""A service's watch: takes its request and the call, yields encoded responses."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Where a part stands in the merged response, and where its own cursor stands in it."""

    field: int
    cursor_field: int


_PARTS: Final[Mapping[str, _Part]] = {
    "run": _Part(field=1, cursor_field=3),
    "logs": _Part(field=2, cursor_field=2),
    "metrics": _Part(field=3, cursor_field=2),
}


class LiveServicer:
    """Serves `trackside.live.v1.LiveService` from the watches of the three services."""

    def __init__(self, *, run: WatchPart, logs: WatchPart, metrics: WatchPart) -> None:
        self._run = run
        self._logs = logs
        self._metrics = metrics

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return live_service_pb2.DESCRIPTOR.services_by_name["LiveService"]

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {"WatchLive": self.watch_live}

    async def watch_live(
        self, request: live_service_pb2.WatchLiveRequest, call: Call
    ) -> AsyncGenerator[bytes]:
        """Yield the chosen parts' responses, merged.

        Raises:
            InvalidFieldError: No part was chosen.
            CursorForeignError: The cursor is none of a merged watch.
            ServiceError: What the watch of a part raises.
        """
        cursor = decode(request.cursor) if request.cursor else LiveCursor()
        streams = {
            name: _with_cursors_of_all(stream, name, cursor)
            for name, stream in self._open(request, cursor, call).items()
        }
        if not streams:
            raise InvalidFieldError.of("run", "neither run nor logs nor metrics is chosen")
        async with aclosing(merge(streams)) as merged:
            async for name, response in merged:
                part = _PARTS[name]
                own = last_string(response, part.cursor_field)
                if own:
                    setattr(cursor, name, own)
                encoded = wire.bytes_field(part.field, response)
                if all(getattr(cursor, chosen) for chosen in streams):
                    encoded += wire.bytes_field(_CURSOR_FIELD, cursor.encode().encode())
                yield encoded
                call.resume_cursor = cursor.encode()

    def _open(
        self, request: live_service_pb2.WatchLiveRequest, cursor: LiveCursor, call: Call
    ) -> dict[str, AsyncIterator[bytes]]:
        run_id = request.run_id
        streams: dict[str, AsyncIterator[bytes]] = {}
        if request.HasField("run"):
            start = _start(request.run.start, cursor.run)
            streams["run"] = self._run(
                runs_service_pb2.WatchRunRequest(
                    run_id=run_id, start=start, task_filter=request.run.task_filter
                ),
                call.part(),
            )
        if request.HasField("logs"):
            start = _start(request.logs.start, cursor.logs)
            streams["logs"] = self._logs(
                logs_service_pb2.WatchLogsRequest(
                    run_id=run_id, start=start, filter=request.logs.filter
                ),
                call.part(),
            )
        if request.HasField("metrics"):
            start = _start(request.metrics.start, cursor.metrics)
            streams["metrics"] = self._metrics(
                metrics_service_pb2.WatchMetricsRequest(
                    run_id=run_id, start=start, filter=request.metrics.filter
                ),
                call.part(),
            )
        return streams


async def _with_cursors_of_all(
    stream: AsyncIterator[bytes], name: str, cursor: LiveCursor
) -> AsyncGenerator[bytes]:
    """Yield what a part does; cursors that its errors name become ones of the merged watch."""
    try:
        async with closing(stream):
            async for response in stream:
                yield response
    except ServiceError as error:
        for fact in _CURSOR_FACTS & error.metadata.keys():
            error.metadata[fact] = replace(cursor, **{name: error.metadata[fact]}).encode()
        raise


def _start(start: watch_start_pb2.WatchStart, cursor: str) -> watch_start_pb2.WatchStart:
    return watch_start_pb2.WatchStart(cursor=cursor) if cursor else start
