import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from support.conditions import until
from support.logs import (
    BOB,
    ON_POSTGRESQL,
    RUN_ID,
    Logs,
    RunLogs,
    Watcher,
    make_batch,
    make_entry,
    messages,
    sequences,
    watch_request,
)
from support.run_directory import RunDirectoryStandIn
from trackside_protos.logs.v1 import log_entry_pb2
from trackside_protos.logs.v1.logs_service_pb2 import LogFilter
from trackside_serving.errors import RunNotFoundError, ServiceError

ERROR = log_entry_pb2.LOG_LEVEL_ERROR


@pytest.fixture(params=["in-process", pytest.param("redis", marks=pytest.mark.redis)])
async def logs(request: pytest.FixtureRequest, run_logs: RunLogs) -> AsyncIterator[Logs]:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    async with run_logs(redis_url=redis_url) as running:
        yield running


@asynccontextmanager
async def following(*watchers: Watcher) -> AsyncGenerator[Sequence["asyncio.Task[None]"]]:
    """Run watchers as tasks and cancel what is left of them at the end."""
    tasks = [asyncio.create_task(watcher.follow()) for watcher in watchers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def batch_of(sequence: int, lines: int = 3) -> bytes:
    level = ERROR if sequence % 4 == 0 else log_entry_pb2.LOG_LEVEL_INFO
    return make_batch(sequence, [make_entry(f"{sequence}-{i}", level=level) for i in range(lines)])


async def test_a_watch_sends_what_is_stored_then_what_comes(logs: Logs) -> None:
    await logs.append([batch_of(n) for n in range(1, 6)])
    watcher = Watcher(logs, watch_request(beginning=True))

    async with following(watcher):
        await until(lambda: watcher.caught_up)
        caught_up_at = len(watcher.entries)
        await logs.append([batch_of(n) for n in range(6, 11)])
        await until(lambda: len(watcher.entries) >= 30)

    assert caught_up_at == 15
    assert watcher.entries == await logs.stored()
    assert sum(response.caught_up for response in watcher.responses) == 1


@pytest.mark.parametrize(("last", "first"), [(None, 16), (0, 16), (4, 12), (100_000, 1)], ids=str)
async def test_a_watch_begins_where_it_is_told(logs: Logs, last: int | None, first: int) -> None:
    await logs.append([batch_of(n) for n in range(1, 6)])
    watcher = Watcher(logs, watch_request(last=last))

    async with following(watcher):
        await until(lambda: watcher.caught_up)
        await logs.append([batch_of(6)])
        await until(lambda: bool(watcher.entries) and watcher.entries[-1][0] == 18)

    assert sequences(watcher.entries) == list(range(first, 19))


async def test_a_watch_resumed_at_every_cursor_misses_and_repeats_nothing(logs: Logs) -> None:
    watcher = Watcher(logs, watch_request(beginning=True))
    async with following(watcher):
        for n in range(1, 16):
            await logs.append([batch_of(n)])
            await until(lambda: bool(watcher.entries) and watcher.entries[-1][0] == n * 3)  # noqa: B023 - awaited here
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed)
    listed = await logs.listed()

    seen = 0
    for response in watcher.responses:
        seen += len(response.blocks) and sum(len(block.entries) for block in response.blocks)
        resumed = Watcher(logs, watch_request(cursor=response.cursor))
        await resumed.follow()
        assert watcher.entries[:seen] + resumed.entries == listed

    assert seen == 45
    assert listed == await logs.stored()


async def test_a_cursor_within_a_batch_resumes_within_it(logs: Logs) -> None:
    await logs.append([batch_of(1, lines=100)])
    mint = logs.service.servicer.mint
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed)

    for position in (0, 1, 50, 99, 100):
        resumed = Watcher(logs, watch_request(cursor=mint.encode(RUN_ID, position)))
        await resumed.follow()
        assert sequences(resumed.entries) == list(range(position + 1, 101))


async def test_a_filtered_watch_sends_what_a_filtered_listing_has(logs: Logs) -> None:
    wanted = LogFilter(levels=[ERROR], text="-1")
    await logs.append([batch_of(n) for n in range(1, 21)])
    watcher = Watcher(logs, watch_request(beginning=True, log_filter=wanted))

    async with following(watcher):
        await until(lambda: watcher.caught_up)
        for n in range(21, 41):
            await logs.append([batch_of(n)])
        await until(lambda: len(watcher.entries) == 10)

    assert messages(watcher.entries) == [f"{n}-1" for n in range(4, 41, 4)]
    assert sequences(watcher.entries) == [(n - 1) * 3 + 2 for n in range(4, 41, 4)]


async def test_a_large_notice_is_filtered_like_a_small_one(logs: Logs) -> None:
    watcher = Watcher(logs, watch_request(log_filter=LogFilter(text="77 ")))
    async with following(watcher):
        await until(lambda: watcher.caught_up)
        await logs.append([make_batch(1, [make_entry(f"{i} " + "z" * 90) for i in range(1000)])])
        await until(lambda: len(watcher.entries) == 10)

    assert [m.split()[0] for m in messages(watcher.entries)] == [
        "77", "177", "277", "377", "477", "577", "677", "777", "877", "977",
    ]  # fmt: skip


async def test_a_watch_ends_when_the_run_is_sealed_and_everything_was_sent(logs: Logs) -> None:
    await logs.append([batch_of(1)])
    watcher = Watcher(logs, watch_request(beginning=True))

    async with following(watcher) as tasks:
        await until(lambda: watcher.caught_up)
        await logs.append([batch_of(2)])
        await logs.directory.put(RUN_ID, sealed=True)
        await tasks[0]

    assert watcher.entries == await logs.stored()


async def test_a_watch_of_a_sealed_run_sends_what_came_late_and_ends(logs: Logs) -> None:
    await logs.append([batch_of(1)])
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed)
    await logs.append([batch_of(2)])
    watcher = Watcher(logs, watch_request(beginning=True))

    await watcher.follow()

    assert watcher.caught_up
    assert sequences(watcher.entries) == list(range(1, 7))


async def test_a_watch_ends_when_its_caller_may_not_see_the_run_any_more(logs: Logs) -> None:
    watcher = Watcher(logs, watch_request())
    async with following(watcher) as tasks:
        await until(lambda: watcher.caught_up)
        await logs.directory.put(RUN_ID, owner="carl", project="secret")
        with pytest.raises(RunNotFoundError):
            await tasks[0]


async def test_a_watch_ends_when_the_server_goes_down(logs: Logs) -> None:
    watcher = Watcher(logs, watch_request())
    async with following(watcher) as tasks:
        await until(lambda: watcher.caught_up)
        watcher.call.draining.set()
        await tasks[0]


async def test_a_watch_of_an_unseen_run_is_not_found(logs: Logs) -> None:
    with pytest.raises(RunNotFoundError):
        await Watcher(logs, watch_request(), BOB).follow()


async def test_cursors_that_cannot_be_served_are_told_so(logs: Logs) -> None:
    mint = logs.service.servicer.mint
    for cursor, reason in (
        (mint.encode(RUN_ID, 1), "CURSOR_AHEAD"),
        (mint.encode("1" * 16, 0), "CURSOR_FOREIGN"),
        ("nonsense", "CURSOR_FOREIGN"),
    ):
        with pytest.raises(ServiceError) as caught:
            await Watcher(logs, watch_request(cursor=cursor)).follow()
        assert caught.value.reason == reason


async def test_changing_the_filter_does_not_bind_the_cursor(logs: Logs) -> None:
    await logs.append([batch_of(n) for n in range(1, 9)])
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed)
    cursor = logs.service.servicer.mint.encode(RUN_ID, 12)

    watcher = Watcher(logs, watch_request(cursor=cursor, log_filter=LogFilter(levels=[ERROR])))
    await watcher.follow()

    assert messages(watcher.entries) == ["8-0", "8-1", "8-2"]


async def test_a_damaged_chunk_ends_a_watch_after_what_comes_before_it(logs: Logs) -> None:
    for n in range(1, 4):
        await logs.append([batch_of(n)])
    with logs.service.database.writing() as connection:
        connection.exec_driver_sql("update chunk set checksum = 7 where first_sequence = 4")
    watcher = Watcher(logs, watch_request(beginning=True))

    with pytest.raises(ServiceError) as caught:
        await watcher.follow()

    assert caught.value.reason == "CHUNK_CORRUPT"
    assert sequences(watcher.entries) == [1, 2, 3]
    resumed = Watcher(logs, watch_request(cursor=caught.value.metadata["next_cursor"]))
    async with following(resumed):
        await until(lambda: resumed.caught_up)
    assert sequences(resumed.entries) == [7, 8, 9]


@ON_POSTGRESQL
async def test_replicas_hear_of_each_others_entries(run_logs: RunLogs, redis_url: str) -> None:
    directory = RunDirectoryStandIn()
    async with (
        run_logs(directory, redis_url) as here,
        run_logs(directory, redis_url) as there,
    ):
        watchers = [Watcher(logs, watch_request()) for logs in (here, there)]
        async with following(*watchers):
            await until(lambda: all(watcher.caught_up for watcher in watchers))
            for n in range(1, 31):
                await (here, there)[n % 2].append([batch_of(n)])
            await until(lambda: all(len(watcher.entries) == 90 for watcher in watchers))

        assert watchers[0].entries == watchers[1].entries == await here.stored()


@ON_POSTGRESQL
async def test_a_batch_sent_to_two_replicas_at_once_counts_once(
    run_logs: RunLogs, redis_url: str
) -> None:
    directory = RunDirectoryStandIn()
    async with (
        run_logs(directory, redis_url) as here,
        run_logs(directory, redis_url) as there,
    ):
        sent = [batch_of(n) for n in range(1, 31)]
        await asyncio.gather(here.append(sent), there.append(sent), here.append(sent[::-1]))

        assert sequences(await here.stored()) == list(range(1, 91))
        assert await here.listed() == await there.listed() == await here.stored()
