"""The methods of MetricsService: message in, one call, message out."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from trackside_journal.committer import Ticket
from trackside_journal.directory import RunEntry
from trackside_journal.fanout import Hub
from trackside_journal.heads import read_heads
from trackside_journal.ingest import IngestStream
from trackside_journal.splice import splice
from trackside_journal.watching import Range, Tail, starting_position, until_draining, with_tails
from trackside_metrics.intake import MetricBatch
from trackside_metrics.listing import Listing, list_page
from trackside_metrics.querying import answer
from trackside_metrics.questions import read_question
from trackside_metrics.selection import check_run_id, read_selection
from trackside_metrics.source import MetricsSource, Reading
from trackside_metrics.tables import HEAD
from trackside_metrics.translation import series_message
from trackside_protos.metrics.v1 import metrics_service_pb2
from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import InvalidFieldError, NotAllowedError
from trackside_serving.identity import Caller, may_report
from trackside_serving.page_tokens import seal, unseal

SERIES_A_PAGE: Final = 1000
DEFAULT_PAGE_SIZE: Final = 100

_TAIL: Final = Tail(
    cursor_field=metrics_service_pb2.WatchMetricsResponse.CURSOR_FIELD_NUMBER,
    caught_up_field=metrics_service_pb2.WatchMetricsResponse.CAUGHT_UP_FIELD_NUMBER,
)
_EARLIEST_SECONDS: Final = -62_135_596_800
_LATEST_SECONDS: Final = 253_402_300_799


@dataclass(frozen=True, slots=True)
class MetricsServicer:
    """Serves `trackside.metrics.v1.MetricsService`."""

    reading: Reading
    hub: Hub
    submit: Callable[[Ticket[MetricBatch]], None]

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"]

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations, by the method's name in the schema."""
        return {
            "AppendMetrics": self.append_metrics,
            "ListSeries": self.list_series,
            "QueryPoints": self.query_points,
            "WatchMetrics": self.watch_metrics,
        }

    def append_metrics(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """Yield acknowledgements of the batches that come, until they end.

        Raises:
            ServiceError: A batch was refused; what was acknowledged before is stored.
        """
        admitted: dict[str, RunEntry] = {}

        async def admit(run_id: str) -> RunEntry:
            known = self.reading.directory.known(run_id)
            if known is not None and known is admitted.get(run_id):
                return known  # nothing was heard of the run since it was let in
            entry = await self._find(run_id, call.caller)
            if not may_report(call.caller, run_id=run_id, owner=entry.owner):
                raise NotAllowedError
            admitted[run_id] = entry
            return entry

        return IngestStream(requests, admit=admit, submit=self.submit).responses()

    async def list_series(
        self, request: metrics_service_pb2.ListSeriesRequest, call: Call
    ) -> metrics_service_pb2.ListSeriesResponse:
        """Return a page of series.

        Raises:
            ServiceError: The request is wrong, the run unknown, or its latest points damaged.
        """
        check_run_id(request.run_id)
        if not 0 <= request.page_size <= SERIES_A_PAGE:
            field = "page_size"
            raise InvalidFieldError.of(field, f"not 0 to {SERIES_A_PAGE:,}")
        listing = Listing(
            run_id=request.run_id,
            selection=read_selection(request.filter),
            page_size=request.page_size or DEFAULT_PAGE_SIZE,
            after=unseal(request) or None,
            start_millis=_start_millis(request),
        )
        await self._find(request.run_id, call.caller)
        page = await self.reading.database.read(
            lambda connection: list_page(connection, listing, self.reading.identities)
        )
        response = metrics_service_pb2.ListSeriesResponse(series=map(series_message, page.series))
        if page.has_more:
            last = page.series[-1].identity.digest
            response.next_page_token = seal(last, request)
        return response

    async def query_points(
        self, request: metrics_service_pb2.QueryPointsRequest, call: Call
    ) -> bytes:
        """Return the encoded response with the points that are asked for.

        Raises:
            ServiceError: The request is wrong, the run unknown, or what is asked for damaged.
        """
        question = read_question(request)
        await self._find(request.run_id, call.caller)
        return await self.reading.database.read(
            lambda connection: answer(connection, question, self.reading.identities)
        )

    async def watch_metrics(
        self, request: metrics_service_pb2.WatchMetricsRequest, call: Call
    ) -> AsyncGenerator[bytes]:
        """Yield encoded responses until the run is sealed and everything was sent.

        Raises:
            ServiceError: The request is wrong, the run unknown, or what comes next damaged.
        """
        run_id = request.run_id
        check_run_id(run_id)
        source = MetricsSource(
            self.reading, run_id, caller=call.caller, selection=read_selection(request.filter)
        )
        await source.check_rights()
        heads = await self.reading.database.read(
            lambda connection: read_heads(connection, HEAD, [run_id])
        )
        mint = self.reading.mint
        position = starting_position(request.start, Range(heads.get(run_id, 0)), mint, run_id)
        pieces = source.sift(splice(source, self.hub, run_id, position))
        responses = with_tails(
            until_draining(pieces, call), mint=mint, topic=run_id, tail=_TAIL, call=call
        )
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def _find(self, run_id: str, caller: Caller) -> RunEntry:
        return await self.reading.directory.find_for(caller, run_id)


def _start_millis(request: metrics_service_pb2.ListSeriesRequest) -> int | None:
    if not request.HasField("start_time"):
        return None
    field = "start_time"
    if not _EARLIEST_SECONDS <= request.start_time.seconds <= _LATEST_SECONDS:
        raise InvalidFieldError.of(field, "not in the years 1 to 9999")
    return request.start_time.ToMilliseconds()
