import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection
from typing_extensions import override

from support.conditions import until
from support.journal import EntryApplier, EntryBatch, batch, committed, stored
from support.postgresql_server import PostgresqlServer
from trackside_journal.committer import Committer, RefusalError, Settled, Ticket
from trackside_journal.database import _LOCK_MILLISECONDS, Database
from trackside_journal.errors import BatchGapError, StoreUnavailableError
from trackside_journal.producers import Stored
from trackside_serving.errors import RunNotFoundError, ShuttingDownError


class BlockedApplier(EntryApplier):
    """Waits in its first transaction until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    @override
    def apply(
        self, connection: Connection, tickets: Sequence[Ticket[EntryBatch]]
    ) -> Settled[EntryBatch]:
        self.entered.set()
        assert self.go_on.wait(100)
        return EntryApplier.apply(self, connection, tickets)


@asynccontextmanager
async def running(
    database: Database, applier: EntryApplier
) -> AsyncGenerator[Committer[EntryBatch]]:
    committer = Committer(database, applier, name="test")
    committer.start()
    try:
        yield committer
    finally:
        await committer.close()


def poisoned_by(*payloads: bytes) -> Callable[[EntryBatch], Exception | None]:
    return lambda work: RuntimeError("poison") if work.payload in payloads else None


async def test_works_that_wait_are_stored_in_one_transaction(database: Database) -> None:
    applier = BlockedApplier()
    async with running(database, applier) as committer:
        results = asyncio.gather(*(committer.commit(batch(n)) for n in range(1, 21)))
        await asyncio.to_thread(applier.entered.wait)

        applier.go_on.set()

        assert await results == [Stored(n, duplicate=False) for n in range(1, 21)]
    assert len(applier.groups) <= 2
    assert stored(database) == [batch(n).payload for n in range(1, 21)]


async def test_a_group_is_bounded_in_works_and_in_bytes(sqlite_database: Database) -> None:
    applier = BlockedApplier()
    async with running(sqlite_database, applier) as committer:
        done = asyncio.Event()
        committer.submit(Ticket(batch(1), lambda _: None))
        await asyncio.to_thread(applier.entered.wait)
        for n in range(2, 4):
            committer.submit(Ticket(batch(n), lambda _: None, size=20 << 20))
        for n in range(4, 700):
            committer.submit(Ticket(batch(n), lambda _: None))
        committer.submit(Ticket(batch(700), lambda _: done.set()))

        applier.go_on.set()
        await done.wait()

    assert applier.groups == [1, 2, 256, 256, 185]


async def test_nothing_is_settled_or_told_before_it_is_stored(sqlite_database: Database) -> None:
    applier = BlockedApplier()
    async with running(sqlite_database, applier) as committer:
        result = asyncio.ensure_future(committer.commit(batch(1)))
        await asyncio.to_thread(applier.entered.wait)
        assert not result.done()

        applier.go_on.set()
        await result

    assert stored(sqlite_database) == [batch(1).payload]


async def test_what_follows_a_commit_is_done_in_the_event_loop_after_the_results(
    sqlite_database: Database,
) -> None:
    events: list[object] = []

    class Telling(EntryApplier):
        @override
        def apply(
            self, connection: Connection, tickets: Sequence[Ticket[EntryBatch]]
        ) -> Settled[EntryBatch]:
            settled = EntryApplier.apply(self, connection, tickets)
            settled.after_commit += [lambda: events.append(threading.current_thread()), told.set]
            return settled

    told = asyncio.Event()
    async with running(sqlite_database, Telling()) as committer:
        committer.submit(Ticket(batch(1), events.append))
        await told.wait()

    assert events == [Stored(1, duplicate=False), threading.main_thread()]


async def test_a_poisonous_work_hurts_nobody_else(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    applier = EntryApplier(poison=poisoned_by(b"poison"))
    works = [batch(1, producer_id=f"p{n}") for n in range(9)]
    works[4] = batch(1, b"poison", producer_id="p4")
    async with running(database, applier) as committer:
        results = await committed(committer, *works)

    assert isinstance(results.pop(4), RuntimeError)
    assert results == [Stored(1, duplicate=False)] * 8
    assert stored(database) == [work.payload for work in works if work.payload != b"poison"]
    assert caplog.messages == ["A work could not be committed."]


async def test_a_held_poisonous_work_fails_alone_when_its_turn_comes(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    applier = EntryApplier(poison=poisoned_by(b"poison"))
    async with running(database, applier) as committer:
        held = asyncio.gather(
            *(committer.commit(batch(n)) for n in (5, 4, 2)),
            committer.commit(batch(3, b"poison")),
            return_exceptions=True,
        )
        first = await committer.commit(batch(1))
        repaired = await committer.commit(batch(3))
        results = await held

    assert first == Stored(1, duplicate=False)
    assert isinstance(results.pop(), RuntimeError)
    assert repaired == Stored(3, duplicate=False)
    assert all(isinstance(result, Stored) for result in results)
    assert stored(database) == [batch(n).payload for n in range(1, 6)]
    assert len(caplog.messages) == 1


async def test_every_work_may_be_poisonous(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    applier = EntryApplier(poison=lambda _: RuntimeError("poison"))
    async with running(sqlite_database, applier) as committer:
        waiting = [asyncio.ensure_future(committer.commit(batch(n))) for n in (3, 2, 1, 1, 40)]
        await asyncio.sleep(0)
        await committer.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(result) for result in results] == [
        ShuttingDownError,
        ShuttingDownError,
        RuntimeError,
        RuntimeError,
        BatchGapError,
    ]
    assert stored(sqlite_database) == []
    assert caplog.messages


@pytest.mark.parametrize("error", [RunNotFoundError(), RefusalError(RunNotFoundError())])
async def test_a_work_that_takes_everything_back_is_refused_alone(
    sqlite_database: Database, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    applier = EntryApplier(poison=lambda work: error if work.payload == b"x" else None)
    async with running(sqlite_database, applier) as committer:
        works = [batch(1, b"x", producer_id="x"), batch(1), batch(2)]
        results = await committed(committer, *works)

    assert isinstance(results[0], RunNotFoundError)
    assert results[1:] == [Stored(1, duplicate=False), Stored(2, duplicate=False)]
    assert not caplog.messages


async def test_a_locked_store_is_unavailable_within_two_seconds_and_heals(
    sqlite_database: Database, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[bool] = []
    begin = sqlite_database.writing

    def attempt() -> AbstractContextManager[Connection]:
        attempts.append(True)
        return begin()

    monkeypatch.setattr(sqlite_database, "writing", attempt)
    async with running(sqlite_database, EntryApplier()) as committer:
        await committer.commit(batch(1))
        with sqlite3.connect(store_path, isolation_level=None) as intruder:
            intruder.execute("begin immediate")
            attempts.clear()
            first = asyncio.ensure_future(committed(committer, batch(2)))
            await until(lambda: attempts)
            second = await committed(committer, batch(3))
            attempted = len(attempts)  # the one under way, and its own
            intruder.execute("rollback")
        intruder.close()
        results = [*second, *await first]

        assert all(isinstance(result, StoreUnavailableError) for result in results)
        assert attempted * _LOCK_MILLISECONDS < 2000
        assert await committer.commit(batch(2)) == Stored(2, duplicate=False)

    assert stored(sqlite_database) == [batch(1).payload, batch(2).payload]


async def test_what_was_held_is_given_up_when_the_store_is_unavailable(
    sqlite_database: Database, store_path: Path
) -> None:
    applier = EntryApplier()
    async with running(sqlite_database, applier) as committer:
        held = asyncio.ensure_future(committed(committer, batch(2)))
        await until(lambda: applier.wants_tick)
        # It may still be storing that, and has the store until it has.
        with sqlite3.connect(store_path, isolation_level=None, timeout=100) as intruder:
            intruder.execute("begin immediate")

            results = await held

            intruder.execute("rollback")
        intruder.close()

    assert isinstance(results[0], StoreUnavailableError)


async def test_a_held_batch_is_looked_at_again_though_nothing_comes(
    sqlite_database: Database,
) -> None:
    now = [0.0]
    applier = EntryApplier(clock=lambda: now[0])
    async with running(sqlite_database, applier) as committer:
        held = asyncio.ensure_future(committed(committer, batch(2)))
        await until(lambda: applier.wants_tick)

        now[0] = 11

        assert [getattr(error, "reason", "") for error in await held] == ["BATCH_GAP"]


async def test_closing_commits_what_waits_and_gives_up_what_is_held(
    sqlite_database: Database,
) -> None:
    applier = BlockedApplier()
    async with running(sqlite_database, applier) as committer:
        results = asyncio.ensure_future(committed(committer, *(batch(n) for n in (1, 2, 3, 9))))
        await asyncio.to_thread(applier.entered.wait)
        closing = asyncio.ensure_future(committer.close())
        applier.go_on.set()
        await closing

        *taken, given_up = await results

    assert taken == [Stored(n, duplicate=False) for n in (1, 2, 3)]
    assert isinstance(given_up, ShuttingDownError)
    assert stored(sqlite_database) == [batch(n).payload for n in (1, 2, 3)]


async def test_after_closing_works_are_turned_away(sqlite_database: Database) -> None:
    async with running(sqlite_database, EntryApplier()) as committer:
        await committer.close()

        with pytest.raises(ShuttingDownError):
            await committer.commit(batch(1))


async def test_a_committer_that_was_never_started_can_be_closed(
    sqlite_database: Database,
) -> None:
    committer = Committer(sqlite_database, EntryApplier(), name="test")

    await committer.close()


async def test_a_caller_that_was_cancelled_does_not_disturb_the_others(
    sqlite_database: Database,
) -> None:
    applier = BlockedApplier()
    async with running(sqlite_database, applier) as committer:
        cancelled, other = (asyncio.ensure_future(committer.commit(batch(n))) for n in (1, 2))
        await asyncio.to_thread(applier.entered.wait)

        cancelled.cancel()
        applier.go_on.set()

        assert await other == Stored(2, duplicate=False)


async def test_a_server_that_was_killed_is_unavailable_and_heals(
    database_on_a_mortal_server: tuple[Database, PostgresqlServer],
) -> None:
    database, server = database_on_a_mortal_server
    async with running(database, EntryApplier()) as committer:
        await committer.commit(batch(1))
        server.kill()

        results = await committed(committer, *(batch(n) for n in (2, 3, 5)))
        server.start()
        healed = await committed(committer, *(batch(n) for n in (2, 3)))

    assert all(isinstance(result, StoreUnavailableError) for result in results)
    assert healed == [Stored(2, duplicate=False), Stored(3, duplicate=False)]
    assert stored(database) == [batch(n).payload for n in (1, 2, 3)]
