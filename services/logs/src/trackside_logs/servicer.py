"""The methods of LogsService: message in, one call, message out."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from trackside_journal.committer import Ticket
from trackside_journal.cursor import CursorMint
from trackside_journal.database import Database
from trackside_journal.directory import RunDirectory, RunEntry
from trackside_journal.fanout import Hub
from trackside_journal.ingest import IngestStream
from trackside_journal.splice import splice
from trackside_journal.watching import Range, Tail, starting_position, until_draining, with_tails
from trackside_logs import page_tokens
from trackside_logs.applier import LogBatch
from trackside_logs.filters import read_filter
from trackside_logs.listing import ListedPage, list_page
from trackside_logs.reading import latest_sequence
from trackside_logs.requests import check_run_id, read_listing
from trackside_logs.source import LogSource
from trackside_protos.logs.v1 import logs_service_pb2
from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import NotAllowedError
from trackside_serving.identity import Caller, may_report

_TAIL: Final = Tail(
    cursor_field=logs_service_pb2.WatchLogsResponse.CURSOR_FIELD_NUMBER,
    caught_up_field=logs_service_pb2.WatchLogsResponse.CAUGHT_UP_FIELD_NUMBER,
)


@dataclass(frozen=True, slots=True)
class LogsServicer:
    """Serves `trackside.logs.v1.LogsService`."""

    database: Database
    directory: RunDirectory
    hub: Hub
    mint: CursorMint
    submit: Callable[[Ticket[LogBatch]], None]

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return logs_service_pb2.DESCRIPTOR.services_by_name["LogsService"]

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations, by the method's name in the schema."""
        return {
            "AppendLogs": self.append_logs,
            "ListLogs": self.list_logs,
            "WatchLogs": self.watch_logs,
        }

    def append_logs(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """Yield acknowledgements of the batches that come, until they end.

        Raises:
            ServiceError: A batch was refused; what was acknowledged before is stored.
        """

        async def admit(run_id: str) -> RunEntry:
            entry = await self._find(run_id, call.caller)
            if not may_report(call.caller, run_id=run_id, owner=entry.owner):
                raise NotAllowedError
            return entry

        return IngestStream(requests, admit=admit, submit=self.submit).responses()

    async def list_logs(
        self, request: logs_service_pb2.ListLogsRequest, call: Call
    ) -> logs_service_pb2.ListLogsResponse:
        """Return a page of entries.

        Raises:
            ServiceError: The request is wrong, the run unknown, or what comes next damaged.
        """
        listing = read_listing(request)
        await self._find(listing.run_id, call.caller)

        def respond(page: ListedPage) -> logs_service_pb2.ListLogsResponse:
            # The blocks are field 1 of both responses.
            response = logs_service_pb2.ListLogsResponse.FromString(b"".join(page.contents))
            response.latest_sequence = page.head
            if page.next_start is not None:
                response.next_page_token = page_tokens.encode(page.next_start, request)
            return response

        return await self.database.read(lambda connection: respond(list_page(connection, listing)))

    async def watch_logs(
        self, request: logs_service_pb2.WatchLogsRequest, call: Call
    ) -> AsyncGenerator[bytes]:
        """Yield encoded responses until the run is sealed and everything was sent.

        Raises:
            ServiceError: The request is wrong, the run unknown, or what comes next damaged.
        """
        run_id = request.run_id
        check_run_id(run_id)
        source = LogSource(
            database=self.database,
            directory=self.directory,
            mint=self.mint,
            run_id=run_id,
            caller=call.caller,
            wanted=read_filter(request.filter),
        )
        await source.check_rights()
        head = await self.database.read(lambda connection: latest_sequence(connection, run_id))
        position = starting_position(request.start, Range(head), self.mint, run_id)
        pieces = source.sift(splice(source, self.hub, run_id, position))
        responses = with_tails(
            until_draining(pieces, call), mint=self.mint, topic=run_id, tail=_TAIL, call=call
        )
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def _find(self, run_id: str, caller: Caller) -> RunEntry:
        return await self.directory.find_for(caller, run_id)
