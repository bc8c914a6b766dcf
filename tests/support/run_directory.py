"""A stand-in for RunsService, for services that follow its directory and tell it things."""

import asyncio
from collections.abc import AsyncGenerator

from trackside_journal.records import Surroundings
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_serving.errors import RunNotFoundError, ServiceUnreachableError
from trackside_serving.revocations import Revocations


class RunDirectoryStandIn:
    """Knows runs, and tells whoever watches of every change. Used in one event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, runs_service_pb2.RunDirectoryEntry] = {}
        self._changes: list[runs_service_pb2.RunDirectoryEntry] = []
        self._changed = asyncio.Condition()
        self.is_away = False
        """Whether nothing that it is told gets through."""
        self.refused = 0
        """How many calls did not get through."""
        self.confirmed: list[tuple[str, str]] = []
        """What was confirmed as deleted: (service, run id)."""
        self.figures: dict[str, list[runs_service_pb2.RunFigures]] = {}
        """What was told of each run."""

    async def put(
        self,
        run_id: str,
        *,
        owner: str = "ann",
        project: str = "default",
        sealed: bool = False,
        deleted: bool = False,
    ) -> None:
        entry = runs_service_pb2.RunDirectoryEntry(
            run_id=run_id, owner=owner, project=project, sealed=sealed, deleted=deleted
        )
        async with self._changed:
            self._entries[run_id] = entry
            self._changes.append(entry)
            self._changed.notify_all()

    def surroundings(
        self, database_url: str, server_id: str, redis_url: str | None
    ) -> Surroundings:
        """Return where a service works that has this for RunsService."""
        return Surroundings(
            database_url, server_id, redis_url, self.watch, self.confirm, Revocations()
        )

    async def confirm(self, request: runs_service_pb2.ConfirmDeletionRequest) -> None:
        self._require_here()
        self.confirmed += [(request.service, run_id) for run_id in request.run_ids]

    async def report_figures(self, request: runs_service_pb2.ReportFiguresRequest) -> None:
        self._require_here()
        for told in request.runs:
            self.figures.setdefault(told.run_id, []).append(told)

    def _require_here(self) -> None:
        if self.is_away:
            self.refused += 1
            raise ServiceUnreachableError

    async def watch(
        self, request: runs_service_pb2.WatchRunDirectoryRequest
    ) -> AsyncGenerator[runs_service_pb2.WatchRunDirectoryResponse]:
        if request.run_id:
            if request.run_id not in self._entries:
                raise RunNotFoundError
            yield runs_service_pb2.WatchRunDirectoryResponse(
                entries=[self._entries[request.run_id]]
            )
            return
        told = int(request.start.cursor or 0)
        while True:
            async with self._changed:
                while len(self._changes) <= told:
                    await self._changed.wait()
            news, told = self._changes[told:], len(self._changes)
            yield runs_service_pb2.WatchRunDirectoryResponse(entries=news, cursor=str(told))
