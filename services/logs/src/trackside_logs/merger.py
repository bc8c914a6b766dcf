"""The task that merges: which runs have enough small chunks, one run after another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import Connection, func, select

from trackside_journal.database import Database
from trackside_journal.tasks import cancel
from trackside_logs.merging import MergeWork, plan_merges
from trackside_logs.tables import CHUNK, DIRECTORY
from trackside_serving.errors import ServiceError

SMALL_CHUNKS: Final = 32
"""How many small chunks of a run are merged."""

_RETRY_SECONDS: Final = 1.0
_LOG: Final = logging.getLogger(__name__)


class Merger:
    """Merges the small chunks of runs that have many or are sealed. Used in the event loop."""

    def __init__(
        self, database: Database, commit: Callable[[MergeWork], Awaitable[object]]
    ) -> None:
        self._database = database
        self._commit = commit
        self._small: dict[str, int] = {}
        self._due: dict[str, bool] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to merge: first what an earlier process left."""
        self._task = asyncio.create_task(self._run(), name="log-merger")

    async def close(self) -> None:
        """End merging; what is being committed may still be."""
        if self._task is not None:
            await cancel(self._task)

    def added(self, run_id: str, count: int) -> None:
        """Hear that so many small chunks were stored."""
        total = self._small[run_id] = self._small.get(run_id, 0) + count
        if total >= SMALL_CHUNKS:
            self._let_wait(run_id, final=False)

    def sealed(self, run_id: str) -> None:
        """Hear that a run is sealed."""
        if run_id in self._small:
            self._let_wait(run_id, final=True)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be merged now."""
        return not self._due

    def _let_wait(self, run_id: str, *, final: bool) -> None:
        self._due[run_id] = final or self._due.get(run_id, False)
        self._wake.set()

    async def _run(self) -> None:
        is_swept = False
        while True:
            try:
                if not is_swept:
                    await self._sweep()
                    is_swept = True
                while self._due:
                    await self._merge_next()
            except ServiceError as error:
                _LOG.info("Merging waits for the store: %s", error.reason)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:  # noqa: BLE001 - whatever comes, later chunks must be merged
                _LOG.exception("A round of merging failed.")
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _merge_next(self) -> None:
        run_id, final = next(iter(self._due.items()))
        try:
            await self._merge(run_id, final=final)
        except ServiceError:
            raise
        except Exception:  # noqa: BLE001 - a row of garbage must not keep other runs waiting
            _LOG.exception("The chunks of a run cannot be merged.", extra={"run_id": run_id})
            self._due.pop(run_id)
            self._small.pop(run_id, None)

    async def _sweep(self) -> None:
        for run_id, count, is_sealed in await self._database.read(_select_small):
            self._small[run_id] = self._small.get(run_id, 0) + count
            if is_sealed or count >= SMALL_CHUNKS:
                self._let_wait(run_id, final=is_sealed)

    async def _merge(self, run_id: str, *, final: bool) -> None:
        """Merge some of what there is; with nothing to merge take the run off the list."""
        before = self._small.get(run_id, 0)
        plan = await self._database.read(
            lambda connection: plan_merges(connection, run_id, final=final)
        )
        if any([await self._commit(work) for work in plan.works]):
            return  # what is left is looked at again
        is_sealed_since = self._due.pop(run_id) and not final
        added_since = self._small.pop(run_id, 0) - before
        if plan.small_count:
            self._small[run_id] = plan.small_count
        if added_since:
            self.added(run_id, added_since)
        if is_sealed_since:
            self._let_wait(run_id, final=True)


def _select_small(connection: Connection) -> list[tuple[str, int, bool]]:
    counts = (
        select(CHUNK.c.run_id, func.count().label("small"))
        .where(CHUNK.c.mergeable)
        .group_by(CHUNK.c.run_id)
        .subquery()
    )
    rows = connection.execute(
        select(counts.c.run_id, counts.c.small, DIRECTORY.c.sealed).outerjoin(
            DIRECTORY, DIRECTORY.c.run_id == counts.c.run_id
        )
    )
    return [(run_id, small, bool(sealed)) for run_id, small, sealed in rows]
