import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from support.conditions import until
from support.metrics import (
    ANN,
    BOB,
    RUN_ID,
    SERVER_ID,
    Metrics,
    PointBlock,
    SeriesFilter,
    Watcher,
    batches,
    make_batch,
    make_block,
    training_steps,
    watch_request,
)
from support.run_directory import RunDirectoryStandIn
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.errors import ChunkCorruptError, CursorAheadError, CursorForeignError
from trackside_metrics.bootstrap import MetricsService
from trackside_serving.errors import InvalidFieldError, RunNotFoundError


async def store_mixture(metrics: Metrics) -> list[PointBlock]:
    """Store small, middling and large blocks, and return them as they were first stored."""
    rng = np.random.default_rng(5)
    contents = [
        [
            make_block("a", [float(index)], first_step=index),
            make_block("b", rng.normal(size=3).tolist(), first_step=index, fold="1"),
            *([make_block("c", rng.normal(size=400).tolist())] if index % 5 == 0 else []),
            make_block("a", [-1.0, float("nan")], first_step=index, fold="ü", run="2"),
        ]
        for index in range(23)
    ]
    await metrics.append(batches(*contents))
    return await metrics.blocks()


def encoded(blocks: list[PointBlock]) -> list[bytes]:
    """Return blocks as bytes that compare, NaN and all."""
    return [block.SerializeToString(deterministic=True) for block in blocks]


async def resumed(metrics: Metrics, cursor: str) -> list[PointBlock]:
    watcher = Watcher(metrics, watch_request(cursor=cursor))
    await watcher.catch_up()
    return watcher.blocks


@pytest.mark.parametrize("merges", [(), (3,), (3, 2), (3, 2, 1)], ids=str)
async def test_a_watch_resumes_at_every_cursor(metrics: Metrics, merges: tuple[int, ...]) -> None:
    mint = CursorMint("z" * 16, JournalKind.METRICS)
    originals = await store_mixture(metrics)
    for enough in merges:
        await metrics.merge(enough=enough, is_final=enough == 1)

    for position in range(len(originals) + 1):
        found = await resumed(metrics, mint.encode(RUN_ID, position))

        assert encoded(found) == encoded(originals[position:])


@pytest.mark.exhaustive
async def test_merged_blocks_are_sent_in_order_page_by_page(metrics: Metrics) -> None:
    await metrics.append(training_steps(1500, keys=6))
    originals = await metrics.blocks()
    await metrics.merge(enough=100)
    await metrics.append([make_batch(1501, [make_block("after")])])

    watcher = Watcher(metrics, watch_request(beginning=True))
    await watcher.catch_up()

    assert encoded(watcher.blocks[:-1]) == encoded(originals)
    assert watcher.sequences == list(range(1, 9002))
    assert len(watcher.responses) > 2
    assert max(response.ByteSize() for response in watcher.responses) < 300 << 10


async def test_every_response_has_a_cursor_that_goes_on_behind_it(metrics: Metrics) -> None:
    await metrics.append(training_steps(1500, keys=6))
    await metrics.merge()
    watcher = Watcher(metrics, watch_request(beginning=True))
    await watcher.catch_up()

    for response in watcher.responses:
        rest = await resumed(metrics, response.cursor)

        assert len(rest) == 9000 - response.blocks[-1].sequence


async def test_a_watch_goes_on_with_what_comes(metrics: Metrics) -> None:
    await metrics.append([make_batch(1)])
    watcher = Watcher(metrics, watch_request(beginning=True))
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)

    await metrics.append(make_batch(number, [make_block(), make_block("b")]) for number in (2, 3))

    await until(lambda: len(watcher.blocks) == 5)
    following.cancel()
    assert watcher.sequences == [1, 2, 3, 4, 5]


async def test_a_watch_that_starts_now_sends_nothing_old(metrics: Metrics) -> None:
    await metrics.append([make_batch(1)])
    watcher = Watcher(metrics, watch_request())

    await watcher.catch_up()

    assert watcher.blocks == []
    assert await resumed(metrics, watcher.responses[-1].cursor) == []


async def test_the_last_blocks_can_be_asked_for(metrics: Metrics) -> None:
    await metrics.append(training_steps(10))
    await metrics.merge()
    watcher = Watcher(metrics, watch_request(last=3))

    await watcher.catch_up()

    assert watcher.sequences == [48, 49, 50]


async def test_a_watch_ends_when_the_run_is_sealed_and_everything_was_sent(
    metrics: Metrics,
) -> None:
    await metrics.append(training_steps(3))
    watcher = Watcher(metrics, watch_request(beginning=True))
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)

    await metrics.directory.put(RUN_ID, sealed=True)

    await following
    assert watcher.sequences == list(range(1, 16))


async def test_a_watch_of_a_sealed_run_sends_what_came_late_too(metrics: Metrics) -> None:
    await metrics.append(training_steps(20))
    await metrics.seal()
    await metrics.append([make_batch(21)])
    await metrics.merge(is_final=True)

    watcher = Watcher(metrics, watch_request(beginning=True))
    await watcher.follow()

    assert watcher.sequences == list(range(1, 102))
    assert [block.sequence for block in watcher.blocks if block.late] == [101]


@pytest.mark.parametrize("merged", [False, True], ids=["unmerged", "merged"])
async def test_a_filter_leaves_other_series_out(metrics: Metrics, *, merged: bool) -> None:
    await store_mixture(metrics)
    if merged:
        await metrics.merge()
    watcher = Watcher(
        metrics,
        watch_request(beginning=True, series=SeriesFilter(keys=["a"], context={"run": "2"})),
    )
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)

    await metrics.append([make_batch(24, [make_block("b"), make_block("a", run="2")])])

    await until(lambda: len(watcher.blocks) == 24)
    following.cancel()
    assert {block.key for block in watcher.blocks} == {"a"}
    assert watcher.sequences == sorted(watcher.sequences)
    assert watcher.blocks[-1].context == {"run": "2"}


async def test_large_blocks_reach_a_watcher(metrics: Metrics) -> None:
    watcher = Watcher(metrics, watch_request())
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)
    block = make_block(values=np.random.default_rng(2).normal(size=100_000).tolist())

    await metrics.append(batches([block], [block], [make_block()], [block]))

    await until(lambda: len(watcher.blocks) == 4)
    following.cancel()
    assert watcher.sequences == [1, 2, 3, 4]
    assert watcher.blocks[3].values == block.values


async def test_damage_ends_the_watch_behind_what_is_sound(metrics: Metrics) -> None:
    large = [0.5] * 1000
    await metrics.append(batches(*([make_block(values=large)] for _ in range(5))))
    metrics.damage(3)
    watcher = Watcher(metrics, watch_request(beginning=True))

    with pytest.raises(ChunkCorruptError) as caught:
        await watcher.follow()

    assert watcher.sequences == [1, 2]
    assert caught.value.metadata["first_sequence"] == "3"
    behind = await resumed(metrics, caught.value.metadata["next_cursor"])
    assert [block.sequence for block in behind] == [4, 5]


async def test_damage_of_a_merged_region_is_told_with_its_range(metrics: Metrics) -> None:
    await metrics.append(training_steps(20))
    await metrics.merge()
    await metrics.append([make_batch(21)])
    metrics.damage(50)

    with pytest.raises(ChunkCorruptError) as caught:
        await metrics.blocks()

    assert (caught.value.metadata["first_sequence"], caught.value.metadata["last_sequence"]) == (
        "1",
        "100",
    )
    behind = await resumed(metrics, caught.value.metadata["next_cursor"])
    assert [block.sequence for block in behind] == [101]


async def test_a_cursor_ahead_of_the_store_is_refused(metrics: Metrics) -> None:
    ahead = CursorMint("z" * 16, JournalKind.METRICS).encode(RUN_ID, 5)

    with pytest.raises(CursorAheadError):
        await resumed(metrics, ahead)


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("nonsense", id="nonsense"),
        pytest.param(CursorMint("z" * 16, JournalKind.LOGS).encode(RUN_ID, 0), id="logs"),
        pytest.param(CursorMint("y" * 16, JournalKind.METRICS).encode(RUN_ID, 0), id="server"),
        pytest.param(CursorMint("z" * 16, JournalKind.METRICS).encode("1" * 16, 0), id="run"),
    ],
)
async def test_a_foreign_cursor_is_refused(metrics: Metrics, cursor: str) -> None:
    with pytest.raises(CursorForeignError):
        await resumed(metrics, cursor)


async def test_a_wrong_filter_is_refused(metrics: Metrics) -> None:
    watcher = Watcher(metrics, watch_request(series=SeriesFilter(keys=[""])))

    with pytest.raises(InvalidFieldError):
        await watcher.follow()


async def test_who_may_not_see_the_run_finds_none(metrics: Metrics) -> None:
    with pytest.raises(RunNotFoundError):
        await Watcher(metrics, watch_request(), BOB).follow()


async def test_a_watch_ends_when_the_right_to_see_is_lost(metrics: Metrics) -> None:
    watcher = Watcher(metrics, watch_request(), ANN)
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)

    await metrics.directory.put(RUN_ID, owner="bob")

    with pytest.raises(RunNotFoundError):
        await following


async def test_watches_go_on_while_everything_is_merged(metrics: Metrics) -> None:
    watcher = Watcher(metrics, watch_request(beginning=True))
    following = asyncio.create_task(watcher.follow())

    async def merge_often() -> None:
        while len(watcher.blocks) < 2000:
            await metrics.merge(enough=5)

    await asyncio.gather(metrics.append(training_steps(400)), merge_often())

    following.cancel()
    assert watcher.sequences == list(range(1, 2001))


async def test_replicas_tell_each_other(postgresql_url: str, redis_url: str) -> None:
    directory = RunDirectoryStandIn()
    await directory.put(RUN_ID)
    sent = list(training_steps(60, keys=4))
    async with (
        replica_on(postgresql_url, redis_url, directory) as first,
        replica_on(postgresql_url, redis_url, directory) as second,
    ):
        watchers = [Watcher(one, watch_request(beginning=True)) for one in (first, second)]
        following = [asyncio.create_task(watcher.follow()) for watcher in watchers]

        await asyncio.gather(first.append(sent[:30]), second.append(sent[:30]))
        await asyncio.gather(
            first.append(sent[30:]), second.append(sent[30:]), first.merge(), second.merge()
        )

        await until(lambda: all(len(watcher.blocks) >= 240 for watcher in watchers))
        for task in following:
            task.cancel()
        assert [watcher.sequences for watcher in watchers] == [list(range(1, 241))] * 2
        assert [series.count for series in await second.list_series()] == [60] * 4


@asynccontextmanager
async def replica_on(
    database_url: str, redis_url: str, directory: RunDirectoryStandIn
) -> AsyncGenerator[Metrics]:
    service = MetricsService(
        directory.surroundings(database_url, SERVER_ID, redis_url), directory.report_figures
    )
    await service.start()
    try:
        yield Metrics(service, directory)
    finally:
        await service.close()
