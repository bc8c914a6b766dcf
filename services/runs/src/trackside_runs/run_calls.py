"""The calls of RunsService that make, change and end a run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from google.protobuf.duration_pb2 import Duration

from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_runs import changes, control, creation, deletion
from trackside_runs.access import RunAccess
from trackside_runs.present import present
from trackside_runs.record import RunRecord
from trackside_runs.registry import Change, Work
from trackside_runs.requests import require_none
from trackside_runs.storage import deletion as deletions
from trackside_runs.storage import queries
from trackside_runs.storage.ledger import Ledger
from trackside_runs.validation.requests import (
    check_closing,
    check_creation,
    check_run_id,
    check_stop,
    check_update,
)
from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import NotAllowedError, RunDeletedError
from trackside_serving.identity import may_act

_USUAL_GRACE: Final = Duration(seconds=10)


class RunCalls:
    """Answers what is asked of one run as a whole."""

    def __init__(
        self,
        database: Database,
        committer: Committer[Work],
        access: RunAccess,
        *,
        lost_after_seconds: float,
    ) -> None:
        self._database = database
        self._committer = committer
        self._access = access
        self._lost_after_seconds = lost_after_seconds

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {
            "CreateRun": self.create_run,
            "GetRun": self.get_run,
            "UpdateRun": self.update_run,
            "CloseRun": self.close_run,
            "KillRun": self.kill_run,
            "StopRun": self.stop_run,
            "ForceEndRun": self.force_end_run,
            "DeleteRun": self.delete_run,
        }

    async def create_run(
        self, request: runs_service_pb2.CreateRunRequest, call: Call
    ) -> runs_service_pb2.CreateRunResponse:
        require_none(check_creation(request))
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
        run = await self._access.find(request.run_id, call, queries.complete_run)
        return runs_service_pb2.GetRunResponse(run=present(run))

    async def update_run(
        self, request: runs_service_pb2.UpdateRunRequest, call: Call
    ) -> runs_service_pb2.UpdateRunResponse:
        require_none(check_update(request))
        run = await self._act(
            request.run.run_id,
            call,
            lambda ledger, record: changes.update(ledger, record, request),
        )
        return runs_service_pb2.UpdateRunResponse(run=run)

    async def close_run(
        self, request: runs_service_pb2.CloseRunRequest, call: Call
    ) -> runs_service_pb2.CloseRunResponse:
        require_none(check_closing(request))
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
        require_none(check_stop(request))
        grace = request.grace_duration if request.HasField("grace_duration") else _USUAL_GRACE
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
            run = await self._access.find(request.run_id, call)
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

    async def _end(
        self, run_id: str, call: Call, end: Callable[[Ledger, RunRecord, str], None]
    ) -> run_pb2.Run:
        require_none(check_run_id(run_id))
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
        run = await self._access.find(run_id, call)
        if not may_act(call.caller, owner=run.owner):
            raise NotAllowedError

        def make(ledger: Ledger) -> None:
            record = ledger.find(run_id)
            if record is None:
                raise RunDeletedError  # since it was found
            act(ledger, record)

        await self._committer.commit(Change([run_id, *also_locked], make))
        return await self._complete(run_id)

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
            raise RunDeletedError  # since it was changed
        return present(run)
