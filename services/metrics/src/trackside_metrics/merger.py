"""The task that merges: one run after another, a part of the time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from trackside_journal.database import Database
from trackside_journal.errors import ChunkCorruptError
from trackside_journal.tasks import cancel
from trackside_metrics.identities import Identities
from trackside_metrics.intake import Unsettled
from trackside_metrics.merges import Merge
from trackside_metrics.merging import work_out
from trackside_metrics.planning import ENOUGH_POINTS, ENOUGH_ROWS, Group, plan, read_regions
from trackside_metrics.snapshots import begin_snapshot
from trackside_metrics.tables import CHUNK, DIRECTORY, IS_UNSETTLED
from trackside_serving.errors import ServiceError

_LOG: Final = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0
_IDLE_ROWS: Final = 64
_IDLE_SECONDS: Final = 30.0
_SEALED_SECONDS: Final = 2.0
_REST: Final = 4.0
"""After a merge the merger rests so many times as long as it took, for ingest to go on."""
_HURRY_ROWS: Final = 20_000
"""With so many rows waiting it rests only as long as it took."""


@dataclass(slots=True)
class _Waiting:
    """What a run has to merge, as far as this process knows."""

    rows: int = 0
    points: int = 0
    changed: float = 0.0
    is_sealed: bool = False

    def is_due(self, now: float) -> bool:
        if self.rows >= ENOUGH_ROWS or self.points >= ENOUGH_POINTS:
            return True
        quiet = now - self.changed
        if self.is_sealed:
            return quiet >= _SEALED_SECONDS
        return self.rows >= _IDLE_ROWS and quiet >= _IDLE_SECONDS


class Merger:
    """Merges what is small. Used in the event loop.

    Args:
        database: What to read from.
        commit: Has a merge done; its result is whether it still could be.
        identities: What is known of series.
        clock: Tells how long nothing came.
    """

    def __init__(
        self,
        database: Database,
        commit: Callable[[Merge], Awaitable[object]],
        identities: Identities,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._commit = commit
        self._identities = identities
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._barriers: dict[str, frozenset[int]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to merge: first what an earlier process left."""
        self._task = asyncio.create_task(self._run(), name="metrics-merger")

    async def close(self) -> None:
        """End merging; what is being committed may still be."""
        if self._task is not None:
            await cancel(self._task)

    def added(self, unsettled: Mapping[str, Unsettled]) -> None:
        """Hear what came to runs."""
        now = self._clock()
        for run_id, added in unsettled.items():
            waiting = self._waiting.setdefault(run_id, _Waiting())
            waiting.rows += added.rows
            waiting.points += added.points
            waiting.changed = now
            if waiting.is_due(now):
                self._wake.set()

    def sealed(self, run_id: str) -> None:
        """Hear that a run is sealed."""
        waiting = self._waiting.setdefault(run_id, _Waiting(changed=self._clock()))
        waiting.is_sealed = True

    async def merge(self, run_id: str, *, enough: int = ENOUGH_ROWS, is_final: bool) -> None:
        """Merge what a run has until nothing is left that is worth it.

        Raises:
            ServiceError: The store cannot be read or written now.
        """
        while True:
            groups = await self._database.read(
                lambda connection: self._plan(connection, run_id, enough, is_final=is_final)
            )
            done = [await self._merge_group(run_id, group) for group in groups]
            if not any(done):
                return

    async def _run(self) -> None:
        is_swept = False
        while True:
            try:
                if not is_swept:
                    await self._sweep()
                    is_swept = True
                await self._merge_due()
            except ServiceError as error:
                _LOG.info("Merging waits for the store: %s", error.reason)
            except Exception:  # noqa: BLE001 - whatever comes, later blocks must be merged
                _LOG.exception("A round of merging failed.")
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), _RETRY_SECONDS)
            except TimeoutError:
                continue

    async def _sweep(self) -> None:
        now = self._clock()
        for run_id, rows, points, is_sealed in await self._database.read(_select_unsettled):
            waiting = self._waiting.setdefault(run_id, _Waiting(changed=now))
            waiting.rows += rows
            waiting.points += points
            waiting.is_sealed |= is_sealed

    async def _merge_due(self) -> None:
        now = self._clock()
        for run_id, waiting in list(self._waiting.items()):
            if not waiting.is_due(now):
                continue
            enough = ENOUGH_ROWS if waiting.rows >= ENOUGH_ROWS else _IDLE_ROWS
            rows, points = waiting.rows, waiting.points
            try:
                await self.merge(run_id, enough=enough, is_final=waiting.is_sealed)
            except ServiceError:
                raise
            except Exception:  # noqa: BLE001 - one run must not end the merging of all others
                _LOG.exception("A run could not be merged.", extra={"run_id": run_id})
            waiting.rows -= rows
            waiting.points -= points
            if waiting.is_sealed and not waiting.rows:
                del self._waiting[run_id]

    async def _merge_group(self, run_id: str, group: Group) -> bool:
        started = time.monotonic()
        try:
            merge = await self._database.read(
                lambda connection: self._work_out(connection, run_id, group)
            )
        except ChunkCorruptError as error:
            damaged = int(error.metadata["last_sequence"])
            self._barriers[run_id] = self._barriers.get(run_id, frozenset()) | {damaged}
            _LOG.warning("A chunk is damaged.", extra={"run_id": run_id, "sequence": damaged})
            return True  # what is around it can still be merged
        is_done = bool(await self._commit(merge))
        in_a_hurry = sum(waiting.rows for waiting in self._waiting.values()) > _HURRY_ROWS
        took = time.monotonic() - started
        await asyncio.sleep(took if in_a_hurry else took * _REST)
        return is_done

    def _plan(
        self, connection: Connection, run_id: str, enough: int, *, is_final: bool
    ) -> list[Group]:
        begin_snapshot(connection)
        barriers = self._barriers.get(run_id, frozenset())
        regions = read_regions(connection, run_id)
        return list(plan(regions, barriers=barriers, enough=enough, is_final=is_final))

    def _work_out(self, connection: Connection, run_id: str, group: Group) -> Merge:
        begin_snapshot(connection)
        return work_out(connection, run_id, group, self._identities)


def _select_unsettled(connection: Connection) -> list[tuple[str, int, int, bool]]:
    counts = (
        select(
            CHUNK.c.run_id,
            func.count().label("unsettled"),
            func.sum(CHUNK.c.points).label("points"),
        )
        .where(IS_UNSETTLED)
        .group_by(CHUNK.c.run_id)
        .subquery()
    )
    rows = connection.execute(
        select(counts.c.run_id, counts.c.unsettled, counts.c.points, DIRECTORY.c.sealed).outerjoin(
            DIRECTORY, DIRECTORY.c.run_id == counts.c.run_id
        )
    )
    return [(run_id, rows, int(points), bool(sealed)) for run_id, rows, points, sealed in rows]
