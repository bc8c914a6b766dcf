"""A stand-in for RunsService's directory watch, for services that only follow it."""

import asyncio
from collections.abc import AsyncGenerator

from trackside_protos.runs.v1 import runs_service_pb2
from trackside_serving.errors import RunNotFoundError


class RunDirectoryStandIn:
    """Knows runs, and tells whoever watches of every change. Used in one event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, runs_service_pb2.RunDirectoryEntry] = {}
        self._changes: list[runs_service_pb2.RunDirectoryEntry] = []
        self._changed = asyncio.Condition()

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
