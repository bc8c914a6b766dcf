"""RunsService: message in, one call, message out."""

from collections.abc import AsyncIterator, Mapping
from typing import cast

from google.protobuf.descriptor import ServiceDescriptor

from trackside_journal.committer import Committer, Ticket
from trackside_journal.database import Database
from trackside_journal.ingest import IngestStream
from trackside_journal.tasks import closing
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs import figures
from trackside_runs.access import RunAccess
from trackside_runs.clock_skew import SenderClock
from trackside_runs.deletion_calls import DeletionCalls
from trackside_runs.desk import ControlDesk
from trackside_runs.listing import RunLists
from trackside_runs.output_reads import OutputReads
from trackside_runs.part_calls import PartCalls
from trackside_runs.registry import Change, ReportBatch, Sender, Work
from trackside_runs.requests import require_none
from trackside_runs.revocation_calls import RevocationCalls
from trackside_runs.run_calls import RunCalls
from trackside_runs.state_meanings import state_graph
from trackside_runs.storage import deletion as deletions
from trackside_runs.task_listing import TaskLists
from trackside_runs.validation.requests import check_confirmation, check_figures, check_run_id
from trackside_runs.watches import RunWatches
from trackside_serving.calls import Call, Implementation
from trackside_serving.clock import ClockMs
from trackside_serving.errors import NotAllowedError
from trackside_serving.identity import may_report


class RunsServicer:
    """Serves `trackside.runs.v1.RunsService`: the lists and streams here, the rest by its parts."""

    def __init__(  # noqa: PLR0913 - one for each part that answers calls
        self,
        *,
        database: Database,
        committer: Committer[Work],
        watches: RunWatches,
        lists: RunLists,
        tasks: TaskLists,
        desk: ControlDesk,
        reads: OutputReads,
        clock_ms: ClockMs,
        revocations: RevocationCalls,
        lost_after_seconds: float,
    ) -> None:
        self._database = database
        self._committer = committer
        self._watches = watches
        self._lists = lists
        self._tasks = tasks
        self._desk = desk
        self._reads = reads
        self._clock_ms = clock_ms
        self._revocations = revocations
        self._lost_after_seconds = lost_after_seconds
        self._access = RunAccess(database)
        self._runs = RunCalls(
            database, committer, self._access, lost_after_seconds=lost_after_seconds
        )
        self._parts = PartCalls(database, self._access, tasks)
        self._deletions = DeletionCalls(database, committer, self._access)

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return runs_service_pb2.DESCRIPTOR.services_by_name["RunsService"]

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {
            **self._runs.handlers,
            **self._parts.handlers,
            **self._revocations.handlers,
            **self._deletions.handlers,
            "ListRuns": self.list_runs,
            "ReadOutput": self.read_output,
            "ReportRun": self.report_run,
            "WatchRun": self.watch_run,
            "WatchRuns": self.watch_runs,
            "WatchRunDirectory": self.watch_run_directory,
            "ReportFigures": self.report_figures,
            "ConfirmDeletion": self.confirm_deletion,
            "GetStateGraph": self.get_state_graph,
        }

    async def list_runs(
        self, request: runs_service_pb2.ListRunsRequest, call: Call
    ) -> runs_service_pb2.ListRunsResponse:
        return await self._lists.page(request, call.caller)

    async def report_run(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        admitted: set[str] = set()
        clock = SenderClock(self._clock_ms)

        async def admit(run_id: str) -> Sender:
            if run_id not in admitted:
                run = await self._access.find(run_id, call)
                if not may_report(call.caller, run_id=run_id, owner=run.owner):
                    raise NotAllowedError
                admitted.add(run_id)
            return Sender(call.caller.role, clock.offset_ms)

        def submit(ticket: Ticket[ReportBatch]) -> None:
            key = ticket.work.key
            self._desk.introduce(stream, (key.producer_id, key.run_id))
            self._committer.submit(cast("Ticket[Work]", ticket))

        stream: IngestStream[Sender] = IngestStream(
            clock.batches(requests), admit=admit, submit=submit
        )
        async with self._desk.attended(stream), closing(stream.responses()) as responses:
            async for response in responses:
                yield response

    async def read_output(
        self, request: runs_service_pb2.ReadOutputRequest, call: Call
    ) -> AsyncIterator[bytes]:
        run = await self._access.find(request.run_id, call)
        async with closing(self._reads.stream(request, run, call)) as responses:
            async for response in responses:
                yield response

    async def watch_run(
        self, request: runs_service_pb2.WatchRunRequest, call: Call
    ) -> AsyncIterator[bytes]:
        await self._access.find(request.run_id, call)
        wants = self._tasks.wanted(request.task_filter)
        watch = self._watches.watch_run(request.run_id, request.start, call, wants_task=wants)
        async with closing(watch) as responses:
            async for response in responses:
                yield response

    async def watch_runs(
        self, request: runs_service_pb2.WatchRunsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        watch = self._watches.watch_list(
            lambda: self._lists.everything(request.filter, call.caller),
            self._lists.membership(request.filter, call.caller),
            request.start,
            call,
        )
        async with closing(watch) as responses:
            async for response in responses:
                yield response

    async def watch_run_directory(
        self, request: runs_service_pb2.WatchRunDirectoryRequest, call: Call
    ) -> AsyncIterator[bytes]:
        if request.run_id:
            require_none(check_run_id(request.run_id))
            yield await self._watches.directory_entry(request.run_id)
            return
        watch = self._watches.watch_directory(
            request.start, call, with_runs=not request.revocations_only
        )
        async with closing(watch) as responses:
            async for response in responses:
                yield response

    # What the other services tell.

    async def report_figures(
        self, request: runs_service_pb2.ReportFiguresRequest, call: Call
    ) -> runs_service_pb2.ReportFiguresResponse:
        del call
        require_none(check_figures(request))
        run_ids = [told.run_id for told in request.runs]
        await self._committer.commit(
            Change(run_ids, lambda ledger: figures.take(ledger, request.runs))
        )
        return runs_service_pb2.ReportFiguresResponse()

    async def confirm_deletion(
        self, request: runs_service_pb2.ConfirmDeletionRequest, call: Call
    ) -> runs_service_pb2.ConfirmDeletionResponse:
        del call
        require_none(check_confirmation(request))
        await self._committer.commit(
            Change(
                [],
                lambda ledger: deletions.confirm(
                    ledger.connection, request.service, request.run_ids
                ),
            )
        )
        return runs_service_pb2.ConfirmDeletionResponse()

    async def get_state_graph(
        self, request: runs_service_pb2.GetStateGraphRequest, call: Call
    ) -> runs_service_pb2.GetStateGraphResponse:
        del request, call
        return runs_service_pb2.GetStateGraphResponse(graph=state_graph())
