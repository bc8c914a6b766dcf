import asyncio

import numpy as np
import pytest
from sqlalchemy import Connection, select

from support.metrics import (
    RUN_ID,
    Metrics,
    RunMetrics,
    batches,
    make_batch,
    make_block,
    training_steps,
)
from trackside_metrics import merger
from trackside_metrics.merges import fingerprint
from trackside_metrics.merging import work_out
from trackside_metrics.planning import ENOUGH_ROWS, plan, read_regions
from trackside_metrics.tables import CHUNK, GROWING, SETTLED, SMALL


async def test_small_blocks_become_one_chunk_for_each_series(metrics: Metrics) -> None:
    await metrics.append(training_steps(20, keys=3))

    await metrics.merge()

    assert await metrics.levels() == [(GROWING, 20)] * 3


async def test_chunks_are_merged_again_until_they_are_large(metrics: Metrics) -> None:
    for start in range(0, 6000, 1000):
        block = [make_block(values=[1.0] * 500, first_step=start)] * 2
        await metrics.append(
            [make_batch(index, [block[0]], producer_id=f"p{start}") for index in (1, 2)]
        )
        await metrics.merge()

    assert [level for level, _ in await metrics.levels()].count(SETTLED) == 1
    (series,) = await metrics.list_series()
    assert series.count == 6000


async def test_a_long_series_is_cut_into_chunks_of_about_five_thousand_points(
    metrics: Metrics,
) -> None:
    values = [0.5] * 200
    await metrics.append(
        batches(*([make_block(values=values, first_step=200 * i)] for i in range(100)))
    )

    await metrics.merge()

    assert await metrics.levels() == [(SETTLED, 5000)] * 4


async def test_everything_is_merged_when_the_run_is_sealed(metrics: Metrics) -> None:
    await metrics.append(training_steps(40, keys=3))
    await metrics.merge(enough=30)
    await metrics.append(
        make_batch(number, [make_block("late")], producer_id="p") for number in range(1, 4)
    )
    await metrics.append(
        make_batch(number, [make_block(f"metric_{number % 3}")], producer_id="q")
        for number in range(1, 31)
    )

    await metrics.merge(is_final=True)

    levels = await metrics.levels()
    assert {level for level, _ in levels} == {SETTLED}
    assert sum(points for _, points in levels) == 153


async def test_a_run_merges_by_itself_once_it_has_enough(metrics: Metrics) -> None:
    await metrics.append(training_steps(ENOUGH_ROWS, keys=2))

    await eventually(metrics, [(GROWING, ENOUGH_ROWS)] * 2)


async def test_a_sealed_run_merges_by_itself(metrics: Metrics) -> None:
    await metrics.append(training_steps(30, keys=2))

    await metrics.seal()

    await eventually(metrics, [(SETTLED, 30)] * 2)


async def test_what_an_earlier_process_left_is_merged(run_metrics: RunMetrics) -> None:
    async with run_metrics() as before:
        await before.append(training_steps(30, keys=2))
        directory = before.directory
        await before.seal()

    async with run_metrics(directory) as after:
        await directory.put(RUN_ID, sealed=True)

        await eventually(after, [(SETTLED, 30)] * 2)


async def test_a_failure_that_nobody_foresaw_ends_no_merging(
    run_metrics: RunMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("of the driver")]
    read = merger._select_unsettled

    def read_after_a_failure(connection: Connection) -> list[tuple[str, int, int, bool]]:
        if failures:
            raise failures.pop()
        return read(connection)

    monkeypatch.setattr(merger, "_select_unsettled", read_after_a_failure)
    async with run_metrics() as metrics:
        await metrics.append(training_steps(30, keys=2))
        await metrics.seal()

        await eventually(metrics, [(SETTLED, 30)] * 2)
    assert failures == []


async def eventually(metrics: Metrics, levels: list[tuple[int, int]]) -> None:
    while await metrics.levels() != levels:  # noqa: ASYNC110 - what another task does
        await asyncio.sleep(0.02)


async def test_a_merge_that_another_replica_was_quicker_with_is_not_done(
    metrics: Metrics,
) -> None:
    service = metrics.service
    await metrics.append(training_steps(20, keys=3))

    def prepare(connection: Connection) -> list[object]:
        regions = read_regions(connection, RUN_ID)
        groups = plan(regions, barriers=frozenset(), enough=2, is_final=False)
        identities = service.servicer.reading.identities
        return [work_out(connection, RUN_ID, group, identities) for group in groups]

    (merge,) = await service.database.read(prepare)
    results = [await service.commit(merge) for _ in range(2)]

    assert results == [True, False]
    assert [series.count for series in await metrics.list_series()] == [20] * 3


async def test_the_fingerprint_tells_changed_rows_apart(metrics: Metrics) -> None:
    await metrics.append(training_steps(20, keys=20))
    database = metrics.service.database
    before = await database.read(lambda connection: fingerprint(connection, RUN_ID, 1, 400))

    await metrics.merge()

    after = await database.read(lambda connection: fingerprint(connection, RUN_ID, 1, 400))
    assert (before.rows, after.rows) == (20, 20)
    assert before != after


async def test_what_is_around_damage_is_still_merged(metrics: Metrics) -> None:
    await metrics.append(training_steps(30, keys=2))
    metrics.damage(21)

    await metrics.merge()

    levels = await metrics.levels()
    assert [level for level, _ in levels].count(SMALL) == 1
    assert sum(points for _, points in levels) == 60


async def test_ingest_goes_on_while_runs_are_merged(metrics: Metrics) -> None:
    sent = list(training_steps(600, keys=4))

    async def merge_often() -> None:
        while metrics.acknowledged[-1:] == [] or metrics.acknowledged[-1].through_sequence < 600:
            await metrics.merge()

    await asyncio.gather(metrics.append(sent), merge_often())
    await metrics.merge()

    blocks = await metrics.blocks()
    assert [block.sequence for block in blocks] == list(range(1, 2401))
    assert [series.count for series in await metrics.list_series()] == [600] * 4


async def test_merged_chunks_keep_every_point_exactly(metrics: Metrics) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=900)
    values[::97] = np.nan
    steps = rng.integers(-(1 << 62), 1 << 62, 900)
    times = rng.integers(0, 1 << 41, 900)
    await metrics.append(
        batches(
            *(
                [
                    make_block(
                        values=values[i : i + 3], steps=steps[i : i + 3], times=times[i : i + 3]
                    )
                ]
                for i in range(0, 900, 3)
            )
        )
    )

    await metrics.merge()

    found = await metrics.blocks()
    assert np.array([v for b in found for v in b.values]).tobytes() == values.tobytes()
    assert [s for b in found for s in b.steps] == steps.tolist()
    assert [t for b in found for t in b.times_millis] == times.tolist()


async def test_regions_lie_one_behind_the_other(metrics: Metrics) -> None:
    await metrics.append(training_steps(100, keys=3))
    await metrics.merge()
    await metrics.append(make_batch(number, producer_id="p") for number in range(1, 50))
    await metrics.merge(enough=40)
    await metrics.append([make_batch(50, producer_id="p")])

    def regions(connection: Connection) -> list[tuple[int, int]]:
        rows = connection.execute(
            select(CHUNK.c.first_sequence, CHUNK.c.last_sequence)
            .distinct()
            .order_by(CHUNK.c.last_sequence)
        )
        return [(row[0], row[1]) for row in rows]

    found = await metrics.service.database.read(regions)

    assert [first for first, _ in found] == [1, *(last + 1 for _, last in found[:-1])]
