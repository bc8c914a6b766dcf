import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, select
from sqlmodel import MetaData, SQLModel
from typing_extensions import override

from support.conditions import until
from support.journal import RUN, table_of
from trackside_journal import directory
from trackside_journal.committer import Applier, Committer, Settled, Ticket
from trackside_journal.database import Database
from trackside_journal.directory import (
    DirectoryColumns,
    DirectoryCursorColumns,
    DirectoryTables,
    DirectoryWork,
    RunDirectory,
    RunEntry,
)
from trackside_journal.errors import (
    CursorExpiredError,
    CursorForeignError,
    StoreUnavailableError,
)
from trackside_journal.revocation_copy import RevocationColumns
from trackside_protos.runs.v1.revocation_pb2 import Revocation as RevocationMessage
from trackside_protos.runs.v1.runs_service_pb2 import (
    RunDirectoryEntry,
    WatchRunDirectoryRequest,
    WatchRunDirectoryResponse,
)
from trackside_protos.watches.v1.watch_start_pb2 import WatchPosition, WatchStart
from trackside_serving.errors import RunNotFoundError, ServiceUnreachableError
from trackside_serving.revocations import Revocation, Revocations

NOW = WatchStart(position=WatchPosition.WATCH_POSITION_NOW)


class StoreTables(SQLModel):
    metadata = MetaData()


class DirectoryRow(DirectoryColumns, StoreTables, table=True):
    __tablename__: Any = "directory"


class DirectoryCursorRow(DirectoryCursorColumns, StoreTables, table=True):
    __tablename__: Any = "directory_cursor"


class RevocationRow(RevocationColumns, StoreTables, table=True):
    __tablename__: Any = "revocation"


Answer = WatchRunDirectoryResponse | Exception | None


@dataclass(slots=True)
class Runs:
    """Stands where RunsService stands: says what a test tells it, and notes what it is asked."""

    asked: list[str] = field(default_factory=list)
    starts: list[WatchStart] = field(default_factory=list)
    runs: dict[str, RunDirectoryEntry] = field(default_factory=dict)
    news: asyncio.Queue[Answer] = field(default_factory=asyncio.Queue)
    closed: int = 0

    async def watch(
        self, request: WatchRunDirectoryRequest
    ) -> AsyncIterator[WatchRunDirectoryResponse]:
        try:
            if request.run_id:
                self.asked.append(request.run_id)
                await asyncio.sleep(0)
                if request.run_id not in self.runs:
                    raise RunNotFoundError
                yield WatchRunDirectoryResponse(entries=[self.runs[request.run_id]])
                await asyncio.Event().wait()
            self.starts.append(request.start)
            while (answer := await self.news.get()) is not None:
                if isinstance(answer, Exception):
                    raise answer
                yield answer
        finally:
            self.closed += 1


class DirectoryApplier(Applier[DirectoryWork]):
    def __init__(self) -> None:
        self.directory: RunDirectory | None = None
        self.failures: list[Exception] = []
        self.commits = 0

    @override
    def apply(
        self, connection: Connection, tickets: Sequence[Ticket[DirectoryWork]]
    ) -> Settled[DirectoryWork]:
        if self.failures:
            raise self.failures.pop()
        assert self.directory is not None
        settled: Settled[DirectoryWork] = Settled()
        for ticket in tickets:
            self.directory.store(connection, ticket.work)
            self.commits += 1
            settled.results.append((ticket, None))
        return settled

    @property
    @override
    def wants_tick(self) -> bool:
        return False

    @override
    def rolled_back(self) -> Sequence[Ticket[DirectoryWork]]:
        return ()


@dataclass(slots=True)
class Here:
    directory: RunDirectory
    applier: DirectoryApplier
    changes: list[RunEntry]
    revocations: Revocations


@asynccontextmanager
async def following(database: Database, runs: Runs, *, start: bool = True) -> AsyncGenerator[Here]:
    applier = DirectoryApplier()
    committer = Committer(database, applier, name="test")
    changes: list[RunEntry] = []
    revocations = Revocations()
    applier.directory = RunDirectory(
        database=database,
        tables=DirectoryTables(
            table_of(DirectoryRow), table_of(DirectoryCursorRow), table_of(RevocationRow)
        ),
        revocations=revocations,
        watch=runs.watch,
        commit=committer.commit,
        on_change=changes.append,
    )
    committer.start()
    if start:
        await applier.directory.start()
    yield Here(applier.directory, applier, changes, revocations)
    await applier.directory.close()
    await committer.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_RETRY_SECONDS", 0.001)


@pytest.fixture
def store(database: Database) -> Database:
    database.create_tables(StoreTables.metadata)
    return database


@pytest.fixture
async def runs() -> Runs:
    return Runs()


def entry(
    run_id: str = RUN, *, sealed: bool = False, end_ms: int | None = None
) -> RunDirectoryEntry:
    found = RunDirectoryEntry(run_id=run_id, owner="ann", project="default", sealed=sealed)
    if end_ms is not None:
        end_time = Timestamp()
        end_time.FromMilliseconds(end_ms)
        found.end_time.CopyFrom(end_time)
    return found


def news(
    *entries: RunDirectoryEntry, cursor: str = "", caught_up: bool = False
) -> WatchRunDirectoryResponse:
    return WatchRunDirectoryResponse(entries=entries, cursor=cursor, caught_up=caught_up)


async def test_what_the_watch_brings_is_known(store: Database, runs: Runs) -> None:
    async with following(store, runs) as here:
        runs.news.put_nowait(news(entry(sealed=True, end_ms=1234), cursor="c1"))
        await until(lambda: here.changes)

        found = await here.directory.find(RUN)

        assert found == RunEntry(RUN, "ann", "default", sealed=True, end_time_ms=1234)
        assert here.directory.known(RUN) is found
        assert here.changes == [found]
        assert runs.asked == []


async def test_a_deletion_counts_before_it_is_stored(store: Database, runs: Runs) -> None:
    async with following(store, runs) as here:
        runs.news.put_nowait(news(entry(), cursor="c1"))
        await until(lambda: here.changes)
        here.applier.failures.append(StoreUnavailableError())

        runs.news.put_nowait(news(RunDirectoryEntry(run_id=RUN, deleted=True), cursor="c2"))
        await until(lambda: len(runs.starts) == 2)

        assert (await here.directory.find(RUN)).deleted
        assert len(here.changes) == 1


async def test_what_the_watch_brings_after_the_answer_is_later(store: Database, runs: Runs) -> None:
    runs.runs[RUN] = entry()
    async with following(store, runs) as here:
        finding = asyncio.create_task(here.directory.find(RUN))
        await asyncio.sleep(0)  # it has begun, and now waits for the store
        sealed = RunEntry(RUN, "ann", "default", sealed=True)
        here.directory._asking[RUN].add_done_callback(lambda _: here.directory._remember(sealed))

        assert await finding is sealed


async def test_a_miss_asks_once_however_many_want_to_know(store: Database, runs: Runs) -> None:
    runs.runs[RUN] = entry()
    async with following(store, runs) as here:
        found = await asyncio.gather(*(here.directory.find(RUN) for _ in range(20)))
        again = await here.directory.find(RUN)

        assert set(found) == {again}
        assert runs.asked == [RUN]
        assert runs.closed == 1


async def test_a_run_that_does_not_exist_is_asked_for_each_time(
    store: Database, runs: Runs
) -> None:
    async with following(store, runs) as here:
        for _ in range(2):
            with pytest.raises(RunNotFoundError):
                await here.directory.find(RUN)
        runs.runs[RUN] = entry()

        assert (await here.directory.find(RUN)).owner == "ann"


async def test_one_who_gives_up_asking_does_not_take_the_others_along(
    store: Database, runs: Runs
) -> None:
    runs.runs[RUN] = entry()
    async with following(store, runs) as here:
        first, second = (asyncio.create_task(here.directory.find(RUN)) for _ in range(2))
        await asyncio.sleep(0)

        first.cancel()

        assert (await second).run_id == RUN


async def test_what_the_watch_brings_while_one_asks_is_not_overwritten(
    store: Database, runs: Runs
) -> None:
    runs.runs[RUN] = entry(sealed=False)
    async with following(store, runs) as here:
        here.directory._remember(RunEntry("f" * 16, "ann", "default", sealed=False))
        asking = asyncio.create_task(here.directory.find(RUN))
        await asyncio.sleep(0)
        here.directory._remember(RunEntry(RUN, "ann", "default", sealed=True))

        assert (await asking).sealed
        assert (await here.directory.find(RUN)).sealed


async def test_known_runs_are_known_after_a_restart_while_runs_are_away(
    store: Database, runs: Runs
) -> None:
    async with following(store, runs) as here:
        runs.news.put_nowait(news(entry(), cursor="c1"))
        await until(lambda: here.changes)

    async with following(store, Runs(), start=False) as again:
        assert (await again.directory.find(RUN)).owner == "ann"


async def test_the_watch_begins_with_the_present_and_resumes_from_the_stored_cursor(
    store: Database, runs: Runs
) -> None:
    async with following(store, runs) as here:
        runs.news.put_nowait(news(entry()))
        runs.news.put_nowait(news(entry("1" * 16), cursor="c1"))
        await until(lambda: len(here.changes) == 2)
        runs.news.put_nowait(None)
        await until(lambda: len(runs.starts) == 2)

    async with following(store, runs):
        await until(lambda: len(runs.starts) == 3)

    assert runs.starts == [NOW, WatchStart(cursor="c1"), WatchStart(cursor="c1")]


async def test_the_mark_that_the_present_is_complete_is_stored_and_bookmarks_are_not(
    store: Database, runs: Runs
) -> None:
    async with following(store, runs) as here:
        for response in (
            news(entry()),
            news(cursor="c1", caught_up=True),
            news(cursor="c2"),
            news(cursor="c3"),
        ):
            runs.news.put_nowait(response)
        runs.news.put_nowait(None)
        await until(lambda: len(runs.starts) == 2)

        assert here.applier.commits == 2
        assert runs.starts[1] == WatchStart(cursor="c1")


@pytest.mark.parametrize(
    "error", [CursorExpiredError(earliest="a", latest="b"), CursorForeignError()]
)
async def test_a_cursor_that_cannot_be_served_leads_back_to_the_present(
    store: Database, runs: Runs, error: Exception
) -> None:
    async with following(store, runs) as here:
        runs.news.put_nowait(news(entry(), cursor="c1"))
        await until(lambda: here.changes)
        runs.news.put_nowait(error)
        await until(lambda: len(runs.starts) == 2)
        assert runs.starts[1] == NOW

        runs.news.put_nowait(news(entry(sealed=True), cursor="c9"))
        await until(lambda: len(here.changes) == 2)
        runs.news.put_nowait(None)
        await until(lambda: len(runs.starts) == 3)

        assert runs.starts[2] == WatchStart(cursor="c9")


@pytest.mark.parametrize("error", [ServiceUnreachableError(), RuntimeError("a bug")])
async def test_whatever_happens_to_the_watch_it_is_opened_again(
    store: Database, runs: Runs, error: Exception
) -> None:
    async with following(store, runs) as here:
        runs.news.put_nowait(error)
        runs.news.put_nowait(news(entry(), cursor="c1"))

        await until(lambda: here.changes)

        assert runs.starts == [NOW, NOW]


async def test_a_store_that_is_away_for_a_while_loses_no_entry(store: Database, runs: Runs) -> None:
    async with following(store, runs) as here:
        here.applier.failures += [StoreUnavailableError(), StoreUnavailableError()]
        runs.news.put_nowait(news(entry(), cursor="c1"))
        await until(lambda: len(runs.starts) == 2)
        assert here.changes == []
        runs.news.put_nowait(CursorForeignError())
        runs.news.put_nowait(news(entry(), cursor="c1"))

        await until(lambda: here.changes)

        assert runs.starts[:2] == [NOW, NOW]


async def test_memory_is_bounded(
    store: Database, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_CACHED_ENTRIES", 3)
    run_ids = [f"{number:016d}" for number in range(10)]
    async with following(store, runs) as here:
        runs.news.put_nowait(news(*map(entry, run_ids), cursor="c1"))
        await until(lambda: len(here.changes) == 10)

        assert [bool(here.directory.known(run_id)) for run_id in run_ids].count(True) == 3
        assert (await here.directory.find(run_ids[0])).run_id == run_ids[0]
        assert runs.asked == []


def revoked(token_id: str) -> RevocationMessage:
    message = RevocationMessage(token_id=token_id)
    message.expire_time.FromMilliseconds(1 << 42)
    return message


async def test_revocations_are_known_after_a_restart_while_runs_are_away(
    store: Database, runs: Runs
) -> None:
    async with following(store, runs) as here:
        runs.news.put_nowait(WatchRunDirectoryResponse(revocations=[revoked("t1")], cursor="c1"))
        await until(lambda: here.revocations.cover("t1", "ann", 0))
        await until(lambda: here.applier.commits == 1)

    async with following(store, Runs()) as again:
        assert again.revocations.cover("t1", "ann", 0)
        assert not again.revocations.cover("t2", "ann", 0)


async def test_what_only_another_replica_was_told_is_known_before_the_watch_goes_on(
    store: Database, runs: Runs
) -> None:
    async with following(store, runs) as here:
        await until(lambda: len(runs.starts) == 1)
        # With whom the store is shared, and so the cursor.
        work = DirectoryWork((), "c7", [Revocation("t1", "", 0, 1 << 42)])
        await here.directory._commit(work)
        runs.news.put_nowait(None)
        await until(lambda: len(runs.starts) == 2)

        assert runs.starts[1] == WatchStart(cursor="c7")
        assert here.revocations.cover("t1", "ann", 0)


async def test_revocations_that_have_expired_are_not_kept(store: Database, runs: Runs) -> None:
    async with following(store, runs) as here:
        for number, expire_ms in enumerate([1, 1 << 42]):
            work = DirectoryWork((), "", [Revocation(f"t{number}", "", 0, expire_ms)])
            await here.directory._commit(work)

    with store.writing() as connection:
        kept = connection.execute(select(table_of(RevocationRow).c.token_id)).scalars().all()
    assert kept == ["t1"]


async def test_a_directory_that_was_never_started_can_be_closed(
    store: Database, runs: Runs
) -> None:
    async with following(store, runs, start=False) as here:
        await here.directory.close()
