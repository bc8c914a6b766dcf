"""Which runs a caller may see: whoever may not is told that there is no such run."""

from collections.abc import Callable

from sqlalchemy import Connection

from trackside_journal.database import Database
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_runs.requests import require_none
from trackside_runs.storage import queries
from trackside_runs.validation.requests import check_run_id
from trackside_serving.calls import Call
from trackside_serving.errors import RunDeletedError, RunNotFoundError
from trackside_serving.identity import may_see


class RunAccess:
    """Finds runs for callers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self,
        run_id: str,
        call: Call,
        read: Callable[[Connection, str], run_pb2.Run | None] = queries.run_message,
    ) -> run_pb2.Run:
        """Return what is read of a run that the caller may see.

        Raises:
            InvalidFieldError: That is no id of a run.
            RunNotFoundError: There is none, or none that the caller may see.
            RunDeletedError: It was deleted, and the caller could see it.
        """
        require_none(check_run_id(run_id))
        run = await self._database.read(lambda connection: read(connection, run_id))
        if run is None:
            if await self._was_deleted(run_id, call):
                raise RunDeletedError
            raise RunNotFoundError
        if not may_see(call.caller, run_id=run_id, owner=run.owner, project=run.project):
            raise RunNotFoundError
        return run

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
