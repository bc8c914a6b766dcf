"""Handing control requests to SDK sessions: on the stream by which they report.

A session that is the authority of its run is asked there to end it. Requests are read from
the store, so any replica that has the session's stream delivers them, again on each new
stream until they are acknowledged.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from trackside_journal.database import Database
from trackside_journal.ingest import IngestStream
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_runs import claims
from trackside_runs.rounds import Rounds
from trackside_runs.storage import queries

_LOOK_SECONDS: Final = 2.0
"""How often the store is asked though nobody said that there is something."""

Reporter = tuple[str, str]
"""A producer and the run that it reports on."""


@dataclass(slots=True, eq=False)
class _Stream:
    """An open stream: who reports on it, and what was handed over."""

    ingest: IngestStream[Any]
    reporters: set[Reporter] = field(default_factory=set[Reporter])
    told: set[str] = field(default_factory=set[str])


class ControlDesk:
    """Knows the open streams and what their producers are asked. Event loop only."""

    def __init__(
        self, database: Database, note_delivered: Callable[[str, str], Awaitable[None]]
    ) -> None:
        """Set up.

        Args:
            database: Where the requests are.
            note_delivered: Called with (run id, request id) of what was handed over.
        """
        self._database = database
        self._note_delivered = note_delivered
        self._attended: dict[IngestStream[Any], _Stream] = {}
        self._rounds = Rounds(self._deliver, name="control desk", every=_LOOK_SECONDS)

    def start(self) -> None:
        """Begin to deliver."""
        self._rounds.start()

    async def close(self) -> None:
        """End delivering."""
        await self._rounds.close()

    def wake(self) -> None:
        """Look for new requests now."""
        self._rounds.wake()

    @asynccontextmanager
    async def attended(self, ingest: IngestStream[Any]) -> AsyncGenerator[None]:
        """Deliver what the stream's producers are asked for as long as it is open."""
        self._attended[ingest] = _Stream(ingest)
        try:
            yield
        finally:
            del self._attended[ingest]

    def introduce(self, ingest: IngestStream[Any], reporter: Reporter) -> None:
        """Note that a producer that may report on a run does so on a stream."""
        stream = self._attended.get(ingest)
        if stream is not None and reporter not in stream.reporters:
            stream.reporters.add(reporter)
            self._rounds.wake()

    async def _deliver(self) -> None:
        if not self._attended:
            return
        for authority, run_id, request_id in await self._database.read(claims.all_open_requests):
            for stream in list(self._attended.values()):
                if (authority, run_id) in stream.reporters and request_id not in stream.told:
                    await self._hand_over(stream, run_id, request_id)

    async def _hand_over(self, stream: _Stream, run_id: str, request_id: str) -> None:
        request = await self._database.read(
            lambda connection: control_request(queries.run_message(connection, run_id), request_id)
        )
        if request is None or stream.ingest not in self._attended:
            return  # the run or the stream has gone meanwhile
        response = runs_service_pb2.ReportRunResponse(control=request, control_run_id=run_id)
        stream.ingest.push(response.SerializeToString())
        stream.told.add(request_id)
        await self._note_delivered(run_id, request_id)


def control_request(run: run_pb2.Run | None, request_id: str) -> run_pb2.ControlRequest | None:
    """Return a control request of a run."""
    requests = run.control_requests if run is not None else ()
    return next((r for r in requests if r.request_id == request_id), None)
