import asyncio
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.metrics import (
    ANN,
    BOB,
    Metrics,
    QueryPointsRequest,
    RunMetrics,
    SeriesFilter,
    batches,
    make_batch,
    make_block,
    training_steps,
)
from trackside_journal.errors import ChunkCorruptError
from trackside_protos.metrics.v1 import metrics_service_pb2
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    POINT_AXIS_STEP,
    POINT_AXIS_TIME,
    POINT_METHOD_MIN_MAX,
    POINT_METHOD_RAW,
)
from trackside_serving.errors import InvalidFieldError, RunNotFoundError, TooManyItemsError

VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
POINT = st.tuples(st.integers(-30, 30), st.integers(-50, 50), VALUES)
POINTS = st.lists(st.lists(POINT, min_size=1, max_size=5), min_size=1, max_size=12)
Point = tuple[int, int, float]

LARGE = 300


def points_of(series: metrics_service_pb2.SeriesPoints) -> list[Point]:
    columns = series.points
    return list(zip(columns.steps, columns.times_millis, columns.values, strict=True))


def same_points(found: list[Point], expected: list[Point]) -> bool:
    return np.array(found).tobytes() == np.array(expected, dtype=float).tobytes()


async def store(metrics: Metrics, run_id: str, blocks: list[list[Point]], merges: str) -> None:
    """Store small blocks, each third one as a large one, and merge as told."""
    await metrics.directory.put(run_id)
    for number, points in enumerate(blocks, 1):
        repeated = points * (LARGE if number % 3 == 0 else 1)
        steps, times, values = zip(*repeated, strict=True)
        block = make_block("loss", values, steps=steps, times=times)
        await metrics.append([make_batch(number, [block], run_id=run_id)], caller=ANN)
        if merges == "now and then" and number % 4 == 0:
            await metrics.service.merger.merge(run_id, enough=1, is_final=False)
    if merges == "at the end":
        await metrics.service.merger.merge(run_id, enough=1, is_final=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("merges", ["never", "now and then", "at the end"])
@given(blocks=POINTS, data=st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_queries_find_what_a_brute_force_finds(
    run_metrics: RunMetrics, merges: str, blocks: list[list[Point]], data: st.DataObject
) -> None:
    async with run_metrics() as metrics:
        run_id = f"{np.random.default_rng().integers(10**15, 10**16)}"
        await store(metrics, run_id, blocks, merges)
        by_time = data.draw(st.booleans())
        bounds: dict[str, Any] = {}
        if data.draw(st.booleans()):
            low, high = sorted(data.draw(st.tuples(st.integers(-30, 30), st.integers(-30, 30))))
            bounds |= {"first_step": low, "last_step": high}
        if data.draw(st.booleans()):
            bounds |= {"start_time_millis": data.draw(st.integers(-50, 0)), "end_time_millis": 20}
        buckets = data.draw(st.integers(0, 40))

        (found,) = await metrics.query(
            QueryPointsRequest(
                run_id=run_id,
                axis=POINT_AXIS_TIME if by_time else POINT_AXIS_STEP,
                max_buckets=buckets,
                **bounds,
            )
        )

        wanted = [
            point
            for number, points in enumerate(blocks, 1)
            for point in points * (LARGE if number % 3 == 0 else 1)
            if bounds.get("first_step", -99) <= point[0] <= bounds.get("last_step", 99)
            and bounds.get("start_time_millis", -99) <= point[1] < bounds.get("end_time_millis", 99)
        ]
        wanted.sort(key=lambda point: point[1 if by_time else 0])
        assert found.input_count == len(wanted)
        if not buckets or len(wanted) <= buckets:
            assert found.method == POINT_METHOD_RAW
            assert same_points(points_of(found), wanted)
        else:
            check_buckets(found, wanted, buckets, by_time=by_time)


def check_buckets(
    found: metrics_service_pb2.SeriesPoints, wanted: list[Point], buckets: int, *, by_time: bool
) -> None:
    """Check buckets against the points, in order of the axis."""
    places = [time if by_time else step for step, time, _ in wanted]
    width = -(-(places[-1] - places[0] + 1) // buckets)
    groups: dict[int, list[Point]] = {}
    for place, point in zip(places, wanted, strict=True):
        groups.setdefault((place - places[0]) // width, []).append(point)
    expected = list(groups.values())
    assert found.method == POINT_METHOD_MIN_MAX
    assert found.output_count == len(expected) <= buckets
    got = found.buckets
    assert list(got.counts) == [len(group) for group in expected]
    numbers = [[value for _, _, value in group if not math.isnan(value)] for group in expected]
    assert list(got.nan_counts) == [
        len(group) - len(some) for group, some in zip(expected, numbers, strict=True)
    ]
    assert list(got.first_steps) == [min(step for step, _, _ in group) for group in expected]
    assert list(got.last_steps) == [max(step for step, _, _ in group) for group in expected]
    assert list(got.first_times_millis) == [min(time for _, time, _ in group) for group in expected]
    assert list(got.last_times_millis) == [max(time for _, time, _ in group) for group in expected]
    with np.errstate(all="ignore"):
        means = [float(np.mean(some)) if some else math.nan for some in numbers]
    for column, figures in (
        (got.minimums, [min(some, default=math.nan) for some in numbers]),
        (got.maximums, [max(some, default=math.nan) for some in numbers]),
        (got.means, means),
        (got.lasts, [group[-1][2] for group in expected]),
    ):
        assert np.allclose(column, figures, equal_nan=True, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("merged", [False, True], ids=["unmerged", "merged"])
async def test_late_steps_of_many_writers_come_in_order_of_steps(
    metrics: Metrics, *, merged: bool
) -> None:
    async def write(writer: int) -> None:
        await metrics.append(
            make_batch(
                number,
                [make_block(steps=[100 - number, number], values=[writer, number])],
                producer_id=f"p{writer}",
            )
            for number in range(1, 41)
        )

    await asyncio.gather(*(write(writer) for writer in range(5)))
    if merged:
        await metrics.merge()

    (found,) = await metrics.query()

    stored = [
        (step, time, value)
        for block in await metrics.blocks()
        for step, time, value in zip(block.steps, block.times_millis, block.values, strict=True)
    ]
    assert points_of(found) == sorted(stored, key=lambda point: point[0])


async def test_a_spike_survives_every_down_sampling(metrics: Metrics) -> None:
    values = np.random.default_rng(7).normal(size=60_000)
    values[12_345], values[54_321] = 1e9, -1e9
    parts = np.split(values, 60)
    await metrics.append(
        batches(
            *(
                [make_block(values=part.tolist(), first_step=1000 * i)]
                for i, part in enumerate(parts)
            )
        )
    )

    for buckets in (1, 7, 1000):
        (found,) = await metrics.query(QueryPointsRequest(max_buckets=buckets))

        assert (min(found.buckets.minimums), max(found.buckets.maximums)) == (-1e9, 1e9)
        assert sum(found.buckets.counts) == found.input_count == 60_000


async def test_a_chunk_that_lies_in_one_bucket_is_not_read(metrics: Metrics) -> None:
    await metrics.append(
        batches(*([make_block(values=[1.0] * 1000, first_step=1000 * i)] for i in range(4)))
    )
    metrics.damage(2)

    (found,) = await metrics.query(QueryPointsRequest(max_buckets=4))

    assert list(found.buckets.counts) == [1000] * 4


async def test_damage_is_told_only_to_who_asks_for_what_is_damaged(metrics: Metrics) -> None:
    await metrics.append(
        batches(*([make_block(values=[1.0] * 1000, first_step=1000 * i)] for i in range(4)))
    )
    metrics.damage(3)

    with pytest.raises(ChunkCorruptError) as caught:
        await metrics.query()
    (before,) = await metrics.query(QueryPointsRequest(last_step=1999))
    (after,) = await metrics.query(QueryPointsRequest(first_step=3000))

    assert caught.value.metadata == {"first_sequence": "3", "last_sequence": "3"}
    assert (before.input_count, after.input_count) == (2000, 1000)


async def test_series_come_in_order_with_their_context(metrics: Metrics) -> None:
    await metrics.append(
        batches([make_block("b"), make_block("a", fold="2"), make_block("a", [0.0] * LARGE)])
    )

    found = await metrics.query()

    assert [(one.key, dict(one.context), one.input_count) for one in found] == [
        ("a", {"fold": "2"}, 1),
        ("a", {}, LARGE),
        ("b", {}, 1),
    ]


async def test_a_series_without_points_in_the_range_is_empty(metrics: Metrics) -> None:
    await metrics.append(batches([make_block(), make_block("b", [0.0] * LARGE)]))

    found = await metrics.query(QueryPointsRequest(first_step=1000, max_buckets=5))

    assert [(one.method, one.input_count, one.output_count) for one in found] == [
        (POINT_METHOD_RAW, 0, 0)
    ] * 2


async def test_no_series_no_answer(metrics: Metrics) -> None:
    assert await metrics.query(QueryPointsRequest(filter=SeriesFilter(keys=["none"]))) == []


@pytest.mark.parametrize("merged", [False, True], ids=["unmerged", "merged"])
async def test_a_hundred_series_may_match(metrics: Metrics, *, merged: bool) -> None:
    await metrics.append(batches(*([make_block(f"k{index}")] for index in range(101))))
    if merged:
        await metrics.merge()

    assert (
        len(
            await metrics.query(
                QueryPointsRequest(filter=SeriesFilter(keys=[f"k{i}" for i in range(100)]))
            )
        )
        == 100
    )
    with pytest.raises(TooManyItemsError, match="100 series"):
        await metrics.query()


@pytest.mark.exhaustive
async def test_two_million_points_may_be_asked_for(metrics: Metrics) -> None:
    block = make_block(values=[0.0] * 100_000)
    await metrics.append(batches(*([block] for _ in range(20))))

    (found,) = await metrics.query()
    await metrics.append([make_batch(21)])

    assert found.output_count == 2_000_000
    with pytest.raises(TooManyItemsError, match="2,000,000 points"):
        await metrics.query()
    (reduced,) = await metrics.query(QueryPointsRequest(max_buckets=10))
    assert reduced.input_count == 2_000_001


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        pytest.param(QueryPointsRequest(run_id="x"), "run_id", id="no run"),
        pytest.param(QueryPointsRequest(max_buckets=-1), "max_buckets", id="negative buckets"),
        pytest.param(QueryPointsRequest(max_buckets=100_001), "max_buckets", id="many buckets"),
        pytest.param(QueryPointsRequest.FromString(b"\x40\x09"), "axis", id="no axis"),
        pytest.param(QueryPointsRequest(first_step=2, last_step=1), "last_step", id="steps"),
        pytest.param(
            QueryPointsRequest(start_time_millis=5, end_time_millis=5),
            "end_time_millis",
            id="times",
        ),
        pytest.param(
            QueryPointsRequest(filter=SeriesFilter(keys=["k"] * 1001)),
            "filter.keys",
            id="many keys",
        ),
    ],
)
async def test_a_wrong_field_is_named(
    metrics: Metrics, request_: QueryPointsRequest, field: str
) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        await metrics.query(request_)

    assert caught.value.violations[0].field == field


async def test_who_may_not_see_the_run_finds_none(metrics: Metrics) -> None:
    with pytest.raises(RunNotFoundError):
        await metrics.query(caller=BOB)


async def test_merging_changes_no_answer(metrics: Metrics) -> None:
    await metrics.append(training_steps(300))
    unmerged = await metrics.query()
    unmerged_buckets = await metrics.query(QueryPointsRequest(max_buckets=7))

    await metrics.merge()

    assert await metrics.query() == unmerged
    merged_buckets = await metrics.query(QueryPointsRequest(max_buckets=7))
    for before, after in zip(unmerged_buckets, merged_buckets, strict=True):
        assert np.allclose(before.buckets.means, after.buckets.means)
        for one in (before, after):
            del one.buckets.means[:]
    assert merged_buckets == unmerged_buckets


async def test_extreme_steps_are_cut_right(metrics: Metrics) -> None:
    lowest, highest = -(1 << 63), (1 << 63) - 1
    block = make_block(values=[1.0, 2.0, 3.0], steps=[lowest, 0, highest], times=[0, 0, 0])
    await metrics.append([make_batch(1, [block])])

    (found,) = await metrics.query(QueryPointsRequest(max_buckets=2))

    assert list(found.buckets.counts) == [1, 2]
