"""RunsService: message in, one call, message out."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, cast

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import Connection

from trackside_journal.committer import Committer, Ticket
from trackside_journal.database import Database
from trackside_journal.ingest import IngestStream
from trackside_journal.tasks import closing
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_runs import changes, control, creation, deletion, figures, requests
from trackside_runs.desk import ControlDesk
from trackside_runs.filtering.orders import AS_CREATED, PROCESS_ORDERS
from trackside_runs.listing import RunLists, order_of, page_size
from trackside_runs.output_reads import OutputReads
from trackside_runs.page_keys import key_before, token_after
from trackside_runs.present import present, present_task
from trackside_runs.record import RunRecord
from trackside_runs.registry import Change, ReportBatch, Work
from trackside_runs.state_meanings import state_graph
from trackside_runs.storage import deletion as deletions
from trackside_runs.storage import queries
from trackside_runs.storage.ledger import Ledger
from trackside_runs.task_listing import TaskLists
from trackside_runs.watches import RunWatches
from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import (
    InvalidFieldError,
    NotAllowedError,
    PartNotFoundError,
    RunDeletedError,
    RunNotFoundError,
)
from trackside_serving.identity import Role, may_act, may_report, may_see

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000


class RunsServicer:
    """Serves `trackside.runs.v1.RunsService`."""

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
        lost_after_seconds: float,
    ) -> None:
        self._database = database
        self._committer = committer
        self._watches = watches
        self._lists = lists
        self._tasks = tasks
        self._desk = desk
        self._reads = reads
        self._lost_after_seconds = lost_after_seconds

    @property
    def descriptor(self) -> ServiceDescriptor:
        """The service in the schema."""
        return runs_service_pb2.DESCRIPTOR.services_by_name["RunsService"]

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {
            "CreateRun": self.create_run,
            "GetRun": self.get_run,
            "ListRuns": self.list_runs,
            "UpdateRun": self.update_run,
            "CloseRun": self.close_run,
            "KillRun": self.kill_run,
            "StopRun": self.stop_run,
            "ForceEndRun": self.force_end_run,
            "DeleteRun": self.delete_run,
            "ListTasks": self.list_tasks,
            "GetTask": self.get_task,
            "ListProcesses": self.list_processes,
            "ListOutputs": self.list_outputs,
            "ReadOutput": self.read_output,
            "ListChanges": self.list_changes,
            "ReportRun": self.report_run,
            "WatchRun": self.watch_run,
            "WatchRuns": self.watch_runs,
            "WatchRunDirectory": self.watch_run_directory,
            "ReportFigures": self.report_figures,
            "ConfirmDeletion": self.confirm_deletion,
            "GetStateGraph": self.get_state_graph,
        }

    # Runs.

    async def create_run(
        self, request: runs_service_pb2.CreateRunRequest, call: Call
    ) -> runs_service_pb2.CreateRunResponse:
        requests.require_creation(request)
        asked = creation.Creation(request, call.caller, self._lost_after_seconds)
        ids = await self._involved(request.run)
        created = cast(
            "creation.Created",
            await self._committer.commit(
                Change(ids, lambda ledger: creation.create(ledger, asked))
            ),
        )
        run = await self._complete(created.run_id)
        return runs_service_pb2.CreateRunResponse(run=run, existed=created.existed)

    async def get_run(
        self, request: runs_service_pb2.GetRunRequest, call: Call
    ) -> runs_service_pb2.GetRunResponse:
        run = await self._visible(request.run_id, call, queries.complete_run)
        return runs_service_pb2.GetRunResponse(run=present(run))

    async def list_runs(
        self, request: runs_service_pb2.ListRunsRequest, call: Call
    ) -> runs_service_pb2.ListRunsResponse:
        return await self._lists.page(request, call.caller)

    async def update_run(
        self, request: runs_service_pb2.UpdateRunRequest, call: Call
    ) -> runs_service_pb2.UpdateRunResponse:
        requests.require_update(request)
        run = await self._act(
            request.run.run_id,
            call,
            lambda ledger, record: changes.update(ledger, record, request),
        )
        return runs_service_pb2.UpdateRunResponse(run=run)

    async def close_run(
        self, request: runs_service_pb2.CloseRunRequest, call: Call
    ) -> runs_service_pb2.CloseRunResponse:
        requests.require_closing(request)
        result = request.result if request.HasField("result") else None
        run = await self._act(
            request.run_id, call, lambda ledger, record: changes.close(ledger, record, result)
        )
        return runs_service_pb2.CloseRunResponse(run=run)

    async def kill_run(
        self, request: runs_service_pb2.KillRunRequest, call: Call
    ) -> runs_service_pb2.KillRunResponse:
        run = await self._end(request.run_id, call, control.kill)
        return runs_service_pb2.KillRunResponse(run=run)

    async def stop_run(
        self, request: runs_service_pb2.StopRunRequest, call: Call
    ) -> runs_service_pb2.StopRunResponse:
        grace = requests.require_grace(request)
        run = await self._end(
            request.run_id,
            call,
            lambda ledger, record, requester: control.stop(ledger, record, requester, grace),
        )
        return runs_service_pb2.StopRunResponse(run=run)

    async def force_end_run(
        self, request: runs_service_pb2.ForceEndRunRequest, call: Call
    ) -> runs_service_pb2.ForceEndRunResponse:
        run = await self._end(request.run_id, call, control.force_end)
        return runs_service_pb2.ForceEndRunResponse(run=run)

    async def delete_run(
        self, request: runs_service_pb2.DeleteRunRequest, call: Call
    ) -> runs_service_pb2.DeleteRunResponse:
        try:
            run = await self._require_visible(request.run_id, call)
        except RunDeletedError:
            return await self._deleted(0, [request.run_id])
        if not may_act(call.caller, owner=run.owner):
            raise NotAllowedError
        children = await self._database.read(
            lambda connection: queries.children(connection, request.run_id)
        )

        def make(ledger: Ledger) -> int:
            record = ledger.find(request.run_id)
            if record is None:
                return 0  # somebody else was quicker
            return deletion.delete(ledger, record, call.caller.subject)

        count = await self._committer.commit(Change([request.run_id, *children], make))
        return await self._deleted(cast("int", count), [request.run_id, *children])

    # Parts.

    async def list_tasks(
        self, request: runs_service_pb2.ListTasksRequest, call: Call
    ) -> runs_service_pb2.ListTasksResponse:
        await self._require_visible(request.run_id, call)
        return await self._tasks.page(request)

    async def get_task(
        self, request: runs_service_pb2.GetTaskRequest, call: Call
    ) -> runs_service_pb2.GetTaskResponse:
        await self._require_visible(request.run_id, call)
        task = await self._database.read(
            lambda connection: queries.task(connection, request.run_id, request.task_id)
        )
        if task is None:
            raise PartNotFoundError("The run has no such task.")
        return runs_service_pb2.GetTaskResponse(task=present_task(task))

    async def list_processes(
        self, request: runs_service_pb2.ListProcessesRequest, call: Call
    ) -> runs_service_pb2.ListProcessesResponse:
        await self._require_visible(request.run_id, call)
        order = order_of(request.order_by, PROCESS_ORDERS, AS_CREATED)
        found = await self._database.read(
            lambda connection: queries.processes(
                connection, request.run_id, order, limit=_LARGEST_PAGE
            )
        )
        return runs_service_pb2.ListProcessesResponse(processes=found)

    async def list_outputs(
        self, request: runs_service_pb2.ListOutputsRequest, call: Call
    ) -> runs_service_pb2.ListOutputsResponse:
        await self._require_visible(request.run_id, call)
        size = page_size(request.page_size, default=_DEFAULT_PAGE, largest=_LARGEST_PAGE)
        [after] = key_before(request, (str,)) or [""]
        found = await self._database.read(
            lambda connection: queries.outputs(
                connection, request.run_id, after=cast("str", after), limit=size + 1
            )
        )
        token = token_after([found[size - 1].path], request) if len(found) > size else ""
        return runs_service_pb2.ListOutputsResponse(outputs=found[:size], next_page_token=token)

    async def list_changes(
        self, request: runs_service_pb2.ListChangesRequest, call: Call
    ) -> runs_service_pb2.ListChangesResponse:
        run = await self._require_visible(request.run_id, call)
        size = page_size(request.page_size, default=_DEFAULT_PAGE, largest=_LARGEST_PAGE)
        if request.after_sequence < 0:
            raise InvalidFieldError.of("after_sequence", "is below 0")
        found = await self._database.read(
            lambda connection: queries.changes(
                connection, request.run_id, after=request.after_sequence, limit=size
            )
        )
        latest = max(run.sequence, found[-1].sequence if found else 0)
        return runs_service_pb2.ListChangesResponse(changes=found, latest_sequence=latest)

    # Streams.

    async def report_run(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        admitted: set[str] = set()

        async def admit(run_id: str) -> Role:
            if run_id not in admitted:
                run = await self._require_visible(run_id, call)
                if not may_report(call.caller, run_id=run_id, owner=run.owner):
                    raise NotAllowedError
                admitted.add(run_id)
            return call.caller.role

        def submit(ticket: Ticket[ReportBatch]) -> None:
            key = ticket.work.key
            self._desk.introduce(stream, (key.producer_id, key.run_id))
            self._committer.submit(cast("Ticket[Work]", ticket))

        stream: IngestStream[Role] = IngestStream(requests, admit=admit, submit=submit)
        async with self._desk.attended(stream):
            async for response in stream.responses():
                yield response

    async def read_output(
        self, request: runs_service_pb2.ReadOutputRequest, call: Call
    ) -> AsyncIterator[bytes]:
        run = await self._require_visible(request.run_id, call)
        async with closing(self._reads.stream(request, run, call.caller.subject)) as responses:
            async for response in responses:
                yield response

    async def watch_run(
        self, request: runs_service_pb2.WatchRunRequest, call: Call
    ) -> AsyncIterator[bytes]:
        await self._require_visible(request.run_id, call)
        wants = self._tasks.wanted(request.task_filter)
        async for response in self._watches.watch_run(
            request.run_id, request.start, call, wants_task=wants
        ):
            yield response

    async def watch_runs(
        self, request: runs_service_pb2.WatchRunsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        async for response in self._watches.watch_list(
            lambda: self._lists.everything(request.filter, call.caller),
            self._lists.membership(request.filter, call.caller),
            request.start,
            call,
        ):
            yield response

    async def watch_run_directory(
        self, request: runs_service_pb2.WatchRunDirectoryRequest, call: Call
    ) -> AsyncIterator[bytes]:
        if request.run_id:
            requests.require_run_id(request.run_id)
            yield await self._watches.directory_entry(request.run_id)
            return
        async for response in self._watches.watch_directory(request.start, call):
            yield response

    # What the other services tell.

    async def report_figures(
        self, request: runs_service_pb2.ReportFiguresRequest, call: Call
    ) -> runs_service_pb2.ReportFiguresResponse:
        del call
        requests.require_figures(request)
        run_ids = [told.run_id for told in request.runs]
        await self._committer.commit(
            Change(run_ids, lambda ledger: figures.take(ledger, request.runs))
        )
        return runs_service_pb2.ReportFiguresResponse()

    async def confirm_deletion(
        self, request: runs_service_pb2.ConfirmDeletionRequest, call: Call
    ) -> runs_service_pb2.ConfirmDeletionResponse:
        del call
        requests.require_confirmation(request)
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

    # Shared.

    async def _end(
        self, run_id: str, call: Call, end: Callable[[Ledger, RunRecord, str], None]
    ) -> run_pb2.Run:
        requests.require_run_id(run_id)
        subject = call.caller.subject
        # Locked together with the parent, in the order in which everybody locks.
        children = await self._database.read(
            lambda connection: queries.open_children(connection, run_id)
        )
        return await self._act(
            run_id, call, lambda ledger, record: end(ledger, record, subject), also_locked=children
        )

    async def _deleted(
        self, count: int, run_ids: Sequence[str]
    ) -> runs_service_pb2.DeleteRunResponse:
        pending = await self._database.read(
            lambda connection: deletions.pending_services(connection, run_ids)
        )
        return runs_service_pb2.DeleteRunResponse(deleted_count=count, pending_services=pending)

    async def _act(
        self,
        run_id: str,
        call: Call,
        act: Callable[[Ledger, RunRecord], None],
        *,
        also_locked: Sequence[str] = (),
    ) -> run_pb2.Run:
        run = await self._require_visible(run_id, call)
        if not may_act(call.caller, owner=run.owner):
            raise NotAllowedError

        def make(ledger: Ledger) -> None:
            record = ledger.find(run_id)
            if record is None:
                raise RunNotFoundError
            act(ledger, record)

        await self._committer.commit(Change([run_id, *also_locked], make))
        return await self._complete(run_id)

    async def _was_deleted(self, run_id: str, call: Call) -> bool:
        """Return whether a run was deleted that the caller could see."""
        entry = await self._database.read(
            lambda connection: queries.directory_entry(connection, run_id)
        )
        if entry is None:
            return False
        known = runs_service_pb2.RunDirectoryEntry.FromString(entry)
        return known.deleted and may_see(
            call.caller, run_id=run_id, owner=known.owner, project=known.project
        )

    async def _require_visible(self, run_id: str, call: Call) -> run_pb2.Run:
        return await self._visible(run_id, call, queries.run_message)

    async def _visible(
        self,
        run_id: str,
        call: Call,
        read: Callable[[Connection, str], run_pb2.Run | None],
    ) -> run_pb2.Run:
        """Return what is read of a run that the caller may see."""
        requests.require_run_id(run_id)
        run = await self._database.read(lambda connection: read(connection, run_id))
        if run is None and await self._was_deleted(run_id, call):
            raise RunDeletedError
        return _required(run, call)

    async def _involved(self, run: run_pb2.Run) -> list[str]:
        """Return the runs that a new run has to do with, which are locked together."""
        ids = [run.run_id, run.parent_run_id, run.resumed_run_id]
        if run.external_key:
            ids.append(
                await self._database.read(
                    lambda connection: queries.run_id_of_key(connection, run.external_key)
                )
            )
        return [run_id for run_id in ids if run_id]

    async def _complete(self, run_id: str) -> run_pb2.Run:
        run = await self._database.read(lambda connection: queries.complete_run(connection, run_id))
        if run is None:
            raise RunNotFoundError
        return present(run)


def _required(run: run_pb2.Run | None, call: Call) -> run_pb2.Run:
    if run is None or not may_see(
        call.caller, run_id=run.run_id, owner=run.owner, project=run.project
    ):
        raise RunNotFoundError
    return run
