import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trackside_metrics.blocks import Columns
from trackside_metrics.buckets import Records, cut, join_records, reduce_points

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
PLACES = st.one_of(st.integers(-20, 20), st.integers(LOWEST, HIGHEST))
VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
POINTS = st.lists(st.tuples(PLACES, PLACES, VALUES), min_size=1, max_size=60)
Point = tuple[int, int, float]


def lots_of(points: list[Point], size: int) -> list[Columns]:
    return [
        Columns(
            np.array([step for step, _, _ in points[start : start + size]], np.int64),
            np.array([time for _, time, _ in points[start : start + size]], np.int64),
            np.array([value for _, _, value in points[start : start + size]], np.float64),
        )
        for start in range(0, len(points), size)
    ]


def reduced(points: list[Point], buckets: int, *, size: int, by_time: bool) -> Records:
    """Return the buckets of points that come in lots, of which each is reduced by itself."""
    places = [time if by_time else step for step, time, _ in points]
    axis = cut(min(places), max(places), buckets)
    lots = lots_of(points, size)
    together = [reduce_points(lots[:2], [0, 1], axis, by_time=by_time)]
    alone = [
        reduce_points([lot], [order], axis, by_time=by_time)
        for order, lot in enumerate(lots[2:], 2)
    ]
    return join_records([*reversed(alone), *together])


def expected(points: list[Point], buckets: int, *, by_time: bool) -> list[list[Point]]:
    """Return the points of each bucket that has any, in order of place, then of storage."""
    places = [time if by_time else step for step, time, _ in points]
    low, span = min(places), max(places) - min(places) + 1
    width = -(-span // buckets)
    found: dict[int, list[Point]] = {}
    for index in sorted(range(len(points)), key=places.__getitem__):
        found.setdefault((places[index] - low) // width, []).append(points[index])
    return [found[bucket] for bucket in sorted(found)]


def numbers_of(points: Sequence[Point]) -> list[float]:
    return [value for _, _, value in points if not math.isnan(value)]


@pytest.mark.parametrize("by_time", [False, True], ids=["steps", "times"])
@given(points=POINTS, buckets=st.integers(1, 30), size=st.integers(1, 20))
@example(points=[(LOWEST, LOWEST, 1.0), (HIGHEST, HIGHEST, 2.0)], buckets=1, size=1)
@example(points=[(LOWEST, LOWEST, 1.0), (HIGHEST, HIGHEST, 2.0)], buckets=2, size=1)
def test_buckets_hold_the_figures_of_their_points(
    points: list[Point], buckets: int, size: int, *, by_time: bool
) -> None:
    found = reduced(points, buckets, size=size, by_time=by_time)

    groups = expected(points, buckets, by_time=by_time)
    assert found.count.tolist() == [len(group) for group in groups]
    assert len(groups) <= buckets
    for index, group in enumerate(groups):
        steps, times, values = zip(*group, strict=True)
        numbers = numbers_of(group)
        assert found.first_step[index] == min(steps)
        assert found.last_step[index] == max(steps)
        assert found.first_time[index] == min(times)
        assert found.last_time[index] == max(times)
        assert found.nan_count[index] == len(group) - len(numbers)
        assert np.isclose(found.minimum[index], min(numbers, default=math.nan), equal_nan=True)
        assert np.isclose(found.maximum[index], max(numbers, default=math.nan), equal_nan=True)
        with np.errstate(all="ignore"):
            mean = np.mean(numbers) if numbers else math.nan
        assert np.isclose(found.mean[index], mean, equal_nan=True)
        assert np.isclose(found.last[index], values[-1], equal_nan=True)


@given(POINTS, st.integers(1, 30))
def test_extremes_are_always_kept(points: list[Point], buckets: int) -> None:
    found = reduced(points, buckets, size=7, by_time=False)

    numbers = numbers_of(points)
    assert np.isclose(np.fmin.reduce(found.minimum), min(numbers, default=math.nan), equal_nan=True)
    assert np.isclose(np.fmax.reduce(found.maximum), max(numbers, default=math.nan), equal_nan=True)
