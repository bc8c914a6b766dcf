import asyncio

import pytest

from support.conditions import until
from support.leftover_rows import rows_of
from support.metrics import (
    ANN,
    RUN_ID,
    Metrics,
    RunMetrics,
    Watcher,
    make_batch,
    make_block,
    training_steps,
    watch_request,
)
from support.run_directory import RunDirectoryStandIn
from trackside_metrics.bootstrap import TABLES
from trackside_serving.errors import RunDeletedError

OTHER = "1123456789abcdef"


async def rows(metrics: Metrics, run_id: str = RUN_ID) -> dict[str, int]:
    return await metrics.service.database.read(
        lambda connection: rows_of(connection, TABLES, run_id)
    )


async def is_purged(metrics: Metrics) -> bool:
    return await rows(metrics) == {"directory": 1}


async def eventually_purged(metrics: Metrics) -> None:
    while not await is_purged(metrics):  # noqa: ASYNC110 - in the store
        await asyncio.sleep(0.01)


async def test_nothing_is_left_of_a_deleted_run_and_others_stay(metrics: Metrics) -> None:
    await metrics.directory.put(OTHER)
    await metrics.append(training_steps(50))
    await metrics.merge()
    await metrics.append([make_batch(1, [make_block("a", [1.0] * 500)], run_id=OTHER)], ANN)

    await metrics.directory.put(RUN_ID, sealed=True, deleted=True)
    await eventually_purged(metrics)

    with pytest.raises(RunDeletedError):
        await metrics.list_series()
    with pytest.raises(RunDeletedError):
        await metrics.append([make_batch(1, [make_block("a")], producer_id="late")])
    assert await is_purged(metrics)
    assert (await rows(metrics, OTHER))["series"] == 1


async def test_who_follows_the_points_is_told_that_the_run_is_gone(metrics: Metrics) -> None:
    await metrics.append(training_steps(1))
    watcher = Watcher(metrics, watch_request())
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)

    await metrics.directory.put(RUN_ID, deleted=True)

    with pytest.raises(RunDeletedError):
        await following


async def test_points_on_their_way_to_be_merged_are_purged_too(run_metrics: RunMetrics) -> None:
    directory = RunDirectoryStandIn()
    async with run_metrics(directory) as metrics:
        await metrics.append(training_steps(600))
        merging = asyncio.create_task(metrics.merge())

        await directory.put(RUN_ID, sealed=True, deleted=True)
        await merging

        await eventually_purged(metrics)


async def test_what_is_purged_is_confirmed(metrics: Metrics) -> None:
    await metrics.append(training_steps(3))

    await metrics.directory.put(RUN_ID, sealed=True, deleted=True)

    await until(lambda: metrics.directory.confirmed == [("metrics", RUN_ID)])
    assert await is_purged(metrics)
