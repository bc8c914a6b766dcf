"""The task that tells RunsService what the series of runs have come to.

Latest wins: what is told is read when it is told, and a run waits once however much came to
it. How far RunsService knows is in the store, so that the next process goes on, and memory
is bounded while RunsService is away.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from trackside_journal.database import Database
from trackside_journal.dialects import upsert_rows
from trackside_journal.heads import read_heads
from trackside_journal.tasks import cancel
from trackside_metrics.figures import RunFigures
from trackside_metrics.identities import Identities
from trackside_metrics.tables import HEAD, TOLD
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_serving.errors import ServiceError

_LOG: Final = logging.getLogger(__name__)

_RUNS_A_REQUEST: Final = 100
_WAITING_RUNS: Final = 10_000
"""How many runs wait in memory; more are found in the store again."""
_REMEMBERED_RUNS: Final = 500
_SHORTEST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 10.0
_PART_OF_AGE: Final = 1 / 60
"""How long a run's figures wait, as a part of how long they have been told: a change of a run
is kept for long, so that a run of a day must not make one each second."""
_RETRY_SECONDS: Final = 2.0
_REST: Final = 9.0
"""After telling it rests so many times as long as it took, if that is longer than a tick."""
_SWEEP_SECONDS: Final = 300.0
"""How often the store is searched for what a replica left that has gone."""

ReportFigures = Callable[[runs_service_pb2.ReportFiguresRequest], Awaitable[object]]
"""Calls RunsService, in this process or another."""


@dataclass(frozen=True, slots=True)
class FiguresTold:
    """A work for the committer: RunsService knows the figures of runs as of these blocks."""

    sequences: Mapping[str, int]


def store_told(connection: Connection, work: FiguresTold) -> None:
    """Note how far RunsService knows; called in the transaction. Purged runs are left out."""
    known = read_heads(connection, HEAD, list(work.sequences))
    rows = [(run_id, at) for run_id, at in work.sequences.items() if run_id in known]
    upsert_rows(connection, TOLD, ("run_id", "sequence"), rows)


@dataclass(slots=True)
class _Remembered:
    figures: RunFigures
    first_told: float
    last_told: float

    def next_time(self) -> float:
        """Return when they may be told again."""
        interval = (self.last_told - self.first_told) * _PART_OF_AGE
        return self.last_told + min(max(interval, _SHORTEST_SECONDS), _LONGEST_SECONDS)


class FigureReporter:
    """Tells figures of runs that have got points. Used in the event loop.

    Args:
        database: What to read from.
        commit: Has a `FiguresTold` stored.
        identities: What is known of series.
        report: Calls RunsService.
        clock: Tells how long ago figures were told.
        tick_seconds: How often it looks what is due.
    """

    def __init__(
        self,
        database: Database,
        commit: Callable[[FiguresTold], Awaitable[object]],
        identities: Identities,
        report: ReportFigures,
        *,
        clock: Callable[[], float] = time.monotonic,
        tick_seconds: float = 0.25,
    ) -> None:
        self._database = database
        self._commit = commit
        self._identities = identities
        self._report = report
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._due: dict[str, float] = {}
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._next_sweep = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell: first what an earlier process left."""
        self._next_sweep = self._clock()
        self._task = asyncio.create_task(self._run(), name="figure-reporter")

    async def close(self) -> None:
        """End telling; the next process goes on."""
        if self._task is not None:
            await cancel(self._task)

    def appended(self, run_ids: Iterable[str]) -> None:
        """Hear that runs have got points."""
        for run_id in run_ids:
            if run_id in self._due:
                continue
            if len(self._due) >= _WAITING_RUNS:
                self._next_sweep = self._clock()
                return
            remembered = self._remembered.get(run_id)
            self._due[run_id] = remembered.next_time() if remembered else self._clock()
        self._wake.set()

    def sealed(self, run_id: str) -> None:
        """Hear that a run is sealed: its last figures do not wait."""
        if run_id in self._due:
            self._due[run_id] = self._clock()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            started = time.monotonic()
            try:
                await self._sweep_if_due()
                await self._tell_due()
                # To take points in goes before.
                pause = max(self._tick_seconds, _REST * (time.monotonic() - started))
            except ServiceError as error:
                _LOG.info("Figures wait: %s", error.reason)
                pause = _RETRY_SECONDS
            except Exception:  # noqa: BLE001 - whatever comes, later figures must be told
                _LOG.exception("Figures could not be told.")
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)
            if not self._due:
                patience = max(0.0, self._next_sweep - self._clock())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), patience)

    async def _sweep_if_due(self) -> None:
        now = self._clock()
        if now < self._next_sweep or len(self._due) >= _WAITING_RUNS:
            return
        room = _WAITING_RUNS - len(self._due)
        # Set before, for a run that finds no room meanwhile asks for another search.
        self._next_sweep = now + _SWEEP_SECONDS
        try:
            found = await self._database.read(lambda connection: _untold(connection, room))
        except BaseException:
            self._next_sweep = now
            raise
        if len(found) >= room:  # what did not fit is looked for when this is told
            self._next_sweep = now
        for run_id in found:
            self._due.setdefault(run_id, now)

    async def _tell_due(self) -> None:
        now = self._clock()
        ready = [run_id for run_id, due in self._due.items() if due <= now]
        for start in range(0, len(ready), _RUNS_A_REQUEST):
            await self._tell(ready[start : start + _RUNS_A_REQUEST])

    async def _tell(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:  # what comes from now on makes it wait again
            del self._due[run_id]
        try:
            told = [each for run_id in run_ids if (each := await self._read(run_id)) is not None]
            await self._send([each.message() for each in told])
            await self._commit(FiguresTold({each.run_id: each.sequence for each in told}))
        except BaseException:
            now = self._clock()
            for run_id in run_ids:
                self._due.setdefault(run_id, now)
            raise
        for each in told:
            self._remember(each)

    async def _send(self, told: Sequence[runs_service_pb2.RunFigures]) -> None:
        if not told:
            return
        try:
            await self._report(runs_service_pb2.ReportFiguresRequest(runs=told))
        except ServiceError as error:
            if error.reason != "INVALID_FIELD":
                raise
            # To tell the same again would not help, and keep all others waiting.
            _LOG.warning("RunsService refuses figures: %s", error.message)

    async def _read(self, run_id: str) -> RunFigures | None:
        remembered = self._remembered.get(run_id)
        figures = remembered.figures if remembered else RunFigures(run_id)
        try:
            await self._database.read(lambda connection: figures.read(connection, self._identities))
        except ServiceError as error:
            if error.reason != "CHUNK_CORRUPT":
                raise
            _LOG.warning("The figures of a run cannot be read.", extra={"run_id": run_id})
            return None
        return figures if figures.sequence else None  # purged meanwhile

    def _remember(self, figures: RunFigures) -> None:
        now = self._clock()
        remembered = self._remembered.get(figures.run_id)
        first = remembered.first_told if remembered else now
        self._remembered[figures.run_id] = _Remembered(figures, first, now)
        self._remembered.move_to_end(figures.run_id)
        if len(self._remembered) > _REMEMBERED_RUNS:
            self._remembered.popitem(last=False)
        if figures.run_id in self._due:
            self._due[figures.run_id] = self._remembered[figures.run_id].next_time()


def _untold(connection: Connection, limit: int) -> list[str]:
    """Return runs that have blocks which RunsService has not heard of."""
    heard = func.coalesce(TOLD.c.sequence, 0)
    found = (
        select(HEAD.c.run_id)
        .outerjoin(TOLD, TOLD.c.run_id == HEAD.c.run_id)
        .where(HEAD.c.sequence > heard)
        .limit(limit)
    )
    return list(connection.execute(found).scalars())
