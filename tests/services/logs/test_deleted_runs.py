import asyncio
from typing import Any

import pytest

from support.conditions import until
from support.leftover_rows import rows_of
from support.logs import (
    ANN,
    RUN_ID,
    Logs,
    RunLogs,
    Watcher,
    make_batch,
    make_entry,
    watch_request,
)
from support.run_directory import RunDirectoryStandIn
from trackside_logs.bootstrap import TABLES
from trackside_logs.tables import PRODUCER
from trackside_serving.errors import RunDeletedError

OTHER = "1123456789abcdef"


async def rows(logs: Logs, run_id: str = RUN_ID) -> dict[str, int]:
    return await logs.service.database.read(lambda connection: rows_of(connection, TABLES, run_id))


async def is_purged(logs: Logs) -> bool:
    return await rows(logs) == {"directory": 1}


async def eventually_purged(logs: Logs) -> None:
    while not await is_purged(logs):  # noqa: ASYNC110 - in the store
        await asyncio.sleep(0.01)


async def fill(logs: Logs, run_id: str, batches: int) -> None:
    for n in range(1, batches + 1):
        await logs.append([make_batch(n, [make_entry(f"line {n}")], run_id=run_id)], ANN)


async def test_nothing_is_left_of_a_deleted_run_and_others_stay(logs: Logs) -> None:
    await logs.directory.put(OTHER)
    await fill(logs, RUN_ID, 20)
    await fill(logs, OTHER, 3)

    await logs.directory.put(RUN_ID, sealed=True, deleted=True)
    await eventually_purged(logs)

    with pytest.raises(RunDeletedError):
        await logs.listed()
    with pytest.raises(RunDeletedError):
        await fill(logs, RUN_ID, 1)
    assert await is_purged(logs)
    assert (await rows(logs, OTHER))["chunk"] >= 1


async def test_who_follows_the_log_is_told_that_the_run_is_gone(logs: Logs) -> None:
    await fill(logs, RUN_ID, 1)
    watcher = Watcher(logs, watch_request())
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)

    await logs.directory.put(RUN_ID, deleted=True)

    with pytest.raises(RunDeletedError):
        await following


async def test_a_service_that_was_away_purges_when_it_is_back(run_logs: RunLogs) -> None:
    directory = RunDirectoryStandIn()
    async with run_logs(directory) as logs:
        await fill(logs, RUN_ID, 5)
    async with run_logs(directory) as logs:
        await directory.put(RUN_ID, sealed=True, deleted=True)
        await eventually_purged(logs)


async def test_very_many_rows_are_purged_to_the_last(logs: Logs) -> None:
    with logs.service.database.writing() as connection:
        connection.execute(
            PRODUCER.insert(),
            [
                {
                    "run_id": RUN_ID,
                    "producer_id": f"p{n}",
                    "epoch": 1,
                    "through": 1,
                    "checksums": b"",
                }
                for n in range(1300)
            ],
        )

    await logs.directory.put(RUN_ID, sealed=True, deleted=True)

    await eventually_purged(logs)


async def test_what_is_purged_is_confirmed_once(logs: Logs) -> None:
    await fill(logs, RUN_ID, 5)
    await logs.directory.put(OTHER)

    await logs.directory.put(RUN_ID, sealed=True, deleted=True)
    await until(lambda: logs.directory.confirmed == [("logs", RUN_ID)])
    await logs.directory.put(OTHER, sealed=True, deleted=True)

    await until(lambda: ("logs", OTHER) in logs.directory.confirmed)
    assert logs.directory.confirmed == [("logs", RUN_ID), ("logs", OTHER)]


async def test_a_confirmation_that_did_not_get_through_is_sent_again(run_logs: RunLogs) -> None:
    directory = RunDirectoryStandIn()
    directory.is_away = True
    async with run_logs(directory) as logs:
        logs.service._purger._retry_seconds = 0.05
        await directory.put(OTHER, sealed=True, deleted=True)
        await until(lambda: directory.refused > 1)
        assert directory.confirmed == []

    directory.is_away = False
    async with run_logs(directory):
        await until(lambda: directory.confirmed == [("logs", OTHER)])


async def test_an_unexpected_failure_ends_no_purging(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    purger = logs.service._purger
    commit, failures = purger._commit, [RuntimeError("of the driver"), RuntimeError("again")]

    async def fail_twice(work: Any) -> object:
        if failures:
            raise failures.pop()
        return await commit(work)

    monkeypatch.setattr(purger, "_commit", fail_twice)
    purger._retry_seconds = 0.05

    await logs.directory.put(RUN_ID, sealed=True, deleted=True)

    await until(lambda: logs.directory.confirmed == [("logs", RUN_ID)])
    assert failures == []
    assert "A deleted run could not be purged." in caplog.messages
