import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from support.conditions import until
from support.logs import (
    ON_POSTGRESQL,
    ON_SQLITE,
    RUN_ID,
    Logs,
    RunLogs,
    Watcher,
    make_batch,
    make_entry,
    sequences,
    watch_request,
)
from support.run_directory import RunDirectoryStandIn
from trackside_logs import merger
from trackside_logs.merging import MergePlan, merge, plan_merges
from trackside_logs.tables import CHUNK
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsRequest
from trackside_serving.identity import Caller, Role


def count_chunks(connection: Connection) -> tuple[int, int]:
    row = connection.execute(
        select(func.count(), func.count().filter(CHUNK.c.mergeable)).select_from(CHUNK)
    ).one()
    return row[0], row[1]


async def append_singly(logs: Logs, batches: range, lines: int = 2) -> None:
    for n in batches:
        entries = [make_entry(f"{n}-{i} of a program that prints") for i in range(lines)]
        await logs.append([make_batch(n, entries)])


@pytest.mark.exhaustive
async def test_many_small_chunks_become_few_with_every_entry_in_its_place(logs: Logs) -> None:
    await append_singly(logs, range(1, 201))
    await until(lambda: logs.service.merger.is_idle)

    chunks, _ = await logs.service.database.read(count_chunks)

    assert chunks < 32
    stored = await logs.stored()
    assert sequences(stored) == list(range(1, 401))
    assert stored == await logs.listed()
    assert stored[7][1].message == "4-1 of a program that prints"


async def test_sealing_a_run_merges_what_is_left(logs: Logs) -> None:
    await append_singly(logs, range(1, 11))
    before = await logs.stored()
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed and logs.service.merger.is_idle)

    assert await logs.service.database.read(count_chunks) == (1, 0)
    assert await logs.stored() == before


async def test_a_new_process_merges_what_the_old_one_left(run_logs: RunLogs) -> None:
    async with run_logs() as logs:
        await append_singly(logs, range(1, 31))
        before = await logs.stored()

    async with run_logs() as logs:
        await append_singly(logs, range(31, 34))
        while (await logs.service.database.read(count_chunks))[0] >= 30:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.002)

        assert (await logs.stored())[: len(before)] == before


@ON_SQLITE
async def test_a_failure_that_nobody_foresaw_ends_no_merging(
    run_logs: RunLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("of the driver")]
    read = merger._select_small

    def read_after_a_failure(connection: Connection) -> list[tuple[str, int, bool]]:
        if failures:
            raise failures.pop()
        return read(connection)

    monkeypatch.setattr(merger, "_select_small", read_after_a_failure)
    monkeypatch.setattr(merger, "_RETRY_SECONDS", 0.001)
    async with run_logs() as logs:
        await append_singly(logs, range(1, 11))
        await logs.directory.put(RUN_ID, sealed=True)

        while await logs.service.database.read(count_chunks) != (1, 0):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.002)
    assert failures == []


@ON_SQLITE
async def test_what_comes_while_the_merger_finds_nothing_left_is_merged_later(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, database = logs.service.merger, logs.service.database

    class Store:
        """A store to which something comes once, right after nothing was found to merge."""

        has_come = False

        async def read(self, query: Callable[[Connection], Any]) -> Any:
            found = await database.read(query)
            if not self.has_come and isinstance(found, MergePlan) and not found.works:
                self.has_come = True
                await append_singly(logs, range(33, 34))
            return found

    store = Store()
    monkeypatch.setattr(here, "_database", store)
    await append_singly(logs, range(1, 33), lines=40)
    await until(lambda: store.has_come and here.is_idle)

    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed and here.is_idle)

    assert await database.read(count_chunks) == (2, 0)


async def test_merging_changes_nothing_for_watches_cut_at_any_cursor(logs: Logs) -> None:
    live = Watcher(logs, watch_request(beginning=True))
    task = asyncio.create_task(live.follow())
    await append_singly(logs, range(1, 101))
    await logs.directory.put(RUN_ID, sealed=True)
    await task
    await until(lambda: logs.service.merger.is_idle)

    assert live.entries == await logs.stored()
    for response in live.responses[:: max(1, len(live.responses) // 20)]:
        resumed = Watcher(logs, watch_request(cursor=response.cursor))
        await resumed.follow()
        position = 200 - len(resumed.entries)
        assert live.entries[position:] == resumed.entries


async def test_a_listing_goes_on_within_a_chunk_that_was_merged_meanwhile(logs: Logs) -> None:
    await append_singly(logs, range(1, 31))
    request = ListLogsRequest(page_size=7)
    listed = await logs.page(request)
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed and logs.service.merger.is_idle)

    request.page_token = listed.next_page_token
    rest = await logs.listed(request)

    assert sequences(rest) == list(range(8, 61))


async def test_large_chunks_stay_as_they_are(logs: Logs) -> None:
    for n in range(1, 5):
        await logs.append([make_batch(n, [make_entry("x") for _ in range(1000)])])
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed and logs.service.merger.is_idle)

    assert await logs.service.database.read(count_chunks) == (4, 0)


async def test_a_damaged_chunk_is_left_alone_and_its_neighbours_are_merged(logs: Logs) -> None:
    await append_singly(logs, range(1, 21))
    with logs.service.database.writing() as connection:
        connection.exec_driver_sql("update chunk set checksum = 7 where first_sequence = 19")
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed and logs.service.merger.is_idle)

    assert await logs.service.database.read(count_chunks) == (3, 0)
    assert sequences(await logs.listed(ListLogsRequest(through_sequence=18))) == [*range(1, 19)]
    assert sequences(await logs.listed(ListLogsRequest(after_sequence=20))) == [*range(21, 41)]


async def test_a_merge_that_somebody_else_has_done_changes_nothing(logs: Logs) -> None:
    await append_singly(logs, range(1, 11))
    database = logs.service.database
    plan = await database.read(lambda connection: plan_merges(connection, RUN_ID, final=True))

    with database.writing() as connection:
        first = [merge(connection, work) for work in plan.works]
        second = [merge(connection, work) for work in plan.works]

    assert (first, second) == ([True], [False])
    assert sequences(await logs.stored()) == list(range(1, 21))


@pytest.mark.parametrize("lines", [1, 40])
async def test_merged_chunks_are_read_from_their_end(logs: Logs, lines: int) -> None:
    await append_singly(logs, range(1, 65), lines)
    await until(lambda: logs.service.merger.is_idle)

    assert sequences(await logs.listed(ListLogsRequest(last=5))) == [
        *range(64 * lines - 4, 64 * lines + 1)
    ]


async def test_a_stream_that_is_closed_early_leaves_the_hub(logs: Logs) -> None:
    watcher = Watcher(logs, watch_request(beginning=True))
    await append_singly(logs, range(1, 2))

    async with aclosing(logs.service.servicer.watch_logs(watcher.request, watcher.call)) as stream:
        await anext(stream)
        assert logs.service.hub.is_watched(RUN_ID)

    assert not logs.service.hub.is_watched(RUN_ID)


@ON_POSTGRESQL
async def test_replicas_that_merge_the_same_run_lose_nothing(
    run_logs: RunLogs, redis_url: str
) -> None:
    directory = RunDirectoryStandIn()
    async with (
        run_logs(directory, redis_url) as here,
        run_logs(directory, redis_url) as there,
    ):
        for start in range(1, 161, 20):
            sent = [make_batch(n, [make_entry(f"{n}")]) for n in range(start, start + 20)]
            await asyncio.gather(
                *(logs.append([batch]) for batch in sent for logs in (here, there))
            )
        await directory.put(RUN_ID, sealed=True)
        await until(lambda: here.is_sealed and here.service.merger.is_idle)
        await until(lambda: there.is_sealed and there.service.merger.is_idle)

        assert await here.service.database.read(count_chunks) == (1, 0)
        assert sequences(await here.stored()) == list(range(1, 161))
        assert await there.listed() == await here.stored()


@ON_SQLITE
async def test_a_row_of_garbage_keeps_no_other_run_from_being_merged(logs: Logs) -> None:
    other = "1" * 16
    await logs.directory.put(other)
    agent = Caller("agent", Role.AGENT)
    for n in range(1, 5):
        await logs.append([make_batch(n), make_batch(n, run_id=other)], agent)
    with logs.service.database.writing() as connection:
        connection.exec_driver_sql(
            "update chunk set size = 'garbage' where first_sequence = 2 and run_id = ?", (RUN_ID,)
        )

    await logs.directory.put(RUN_ID, sealed=True)
    await logs.directory.put(other, sealed=True)
    directory, here = logs.service.directory, logs.service.merger
    await until(lambda: bool((entry := directory.known(other)) and entry.sealed and here.is_idle))

    assert await logs.service.database.read(count_chunks) == (5, 4)
