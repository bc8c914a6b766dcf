"""The calls of RunsService that list what a run consists of."""

from collections.abc import Mapping
from typing import Final, cast

from trackside_journal.database import Database
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs.access import RunAccess
from trackside_runs.filtering.orders import AS_CREATED, PROCESS_ORDERS
from trackside_runs.listing import order_of, page_size
from trackside_runs.page_keys import key_before, token_after
from trackside_runs.present import present_task
from trackside_runs.storage import queries
from trackside_runs.task_listing import TaskLists
from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import InvalidFieldError, PartNotFoundError

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000


class PartCalls:
    """Answers what is asked of a run's tasks, processes, outputs and changes."""

    def __init__(self, database: Database, access: RunAccess, tasks: TaskLists) -> None:
        self._database = database
        self._access = access
        self._tasks = tasks

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {
            "ListTasks": self.list_tasks,
            "GetTask": self.get_task,
            "ListProcesses": self.list_processes,
            "ListOutputs": self.list_outputs,
            "ListChanges": self.list_changes,
        }

    async def list_tasks(
        self, request: runs_service_pb2.ListTasksRequest, call: Call
    ) -> runs_service_pb2.ListTasksResponse:
        await self._access.find(request.run_id, call)
        return await self._tasks.page(request)

    async def get_task(
        self, request: runs_service_pb2.GetTaskRequest, call: Call
    ) -> runs_service_pb2.GetTaskResponse:
        await self._access.find(request.run_id, call)
        task = await self._database.read(
            lambda connection: queries.task(connection, request.run_id, request.task_id)
        )
        if task is None:
            raise PartNotFoundError("The run has no such task.")
        return runs_service_pb2.GetTaskResponse(task=present_task(task))

    async def list_processes(
        self, request: runs_service_pb2.ListProcessesRequest, call: Call
    ) -> runs_service_pb2.ListProcessesResponse:
        await self._access.find(request.run_id, call)
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
        await self._access.find(request.run_id, call)
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
        run = await self._access.find(request.run_id, call)
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
