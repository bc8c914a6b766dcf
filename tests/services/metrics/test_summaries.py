import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_journal.chunks import PointColumns
from trackside_metrics.summaries import (
    SUMMARY_COLUMNS,
    Summary,
    are_ordered,
    join_summaries,
    summarize,
    summary_of_row,
)

VALUES = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0])
)
BLOCK = st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 9), VALUES), min_size=1, max_size=6)
BLOCKS = st.lists(BLOCK, min_size=1, max_size=8)
Point = tuple[int, int, float]


def columns_of(blocks: list[list[Point]], first_sequence: int = 1) -> PointColumns:
    points = [point for block in blocks for point in block]
    return PointColumns(
        np.arange(first_sequence, first_sequence + len(blocks)),
        np.array([len(block) for block in blocks]),
        np.array([step for step, _, _ in points]),
        np.array([time for _, time, _ in points]),
        np.array([value for _, _, value in points]),
    )


def summary_of(points: PointColumns) -> Summary:
    return summarize(points, is_ordered=are_ordered(points.steps, points.times))


def same(first: Summary, second: Summary) -> bool:
    return all(
        np.isclose(getattr(first, name), getattr(second, name), rtol=1e-9, equal_nan=True)
        for name in SUMMARY_COLUMNS
    )


@given(BLOCKS)
def test_the_figures_are_those_of_the_points(blocks: list[list[Point]]) -> None:
    points = columns_of(blocks)
    numbers = points.values[~np.isnan(points.values)]
    last = max(range(len(points.steps)), key=lambda index: (points.steps[index], index))

    found = summary_of(points)

    with np.errstate(all="ignore"):
        expected_mean = numbers.mean() if len(numbers) else math.nan
    assert found.points == len(points.steps)
    assert found.nan_count == len(points.steps) - len(numbers)
    assert (found.step_min, found.step_max) == (points.steps.min(), points.steps.max())
    assert (found.time_min, found.time_max) == (points.times.min(), points.times.max())
    assert np.isclose(found.mean, expected_mean, equal_nan=True)
    assert np.isclose(found.value_min, min(numbers, default=math.nan), equal_nan=True)
    assert np.isclose(found.value_max, max(numbers, default=math.nan), equal_nan=True)
    assert (found.last_step, found.last_time) == (points.steps[last], points.times[last])
    assert found.last_value == points.values[last] or math.isnan(points.values[last])


@given(BLOCKS, st.data())
def test_the_figures_of_parts_join_to_those_of_the_whole_in_any_order(
    blocks: list[list[Point]], data: st.DataObject
) -> None:
    parts = [summary_of(columns_of([block], index)) for index, block in enumerate(blocks, 1)]

    joined: Summary | None = None
    for part in data.draw(st.permutations(parts)):
        joined = join_summaries(joined, part)

    assert joined is not None
    assert same(joined, summary_of(columns_of(blocks)))


@given(BLOCKS)
def test_a_row_keeps_the_figures(blocks: list[list[Point]]) -> None:
    summary = summary_of(columns_of(blocks))
    row = summary.row()

    assert same(summary_of_row(row[name] for name in SUMMARY_COLUMNS), summary)


def test_there_is_no_mean_when_all_values_are_nan() -> None:
    summary = summary_of(columns_of([[(1, 1, math.nan)]]))

    assert math.isnan(summary.mean)
    assert summary.nan_count == 1


@pytest.mark.parametrize(("steps", "ordered"), [([1, 1, 2], True), ([1, 3, 2], False), ([4], True)])
def test_steps_that_never_go_back_are_ordered(steps: list[int], *, ordered: bool) -> None:
    assert are_ordered(np.array(steps), np.zeros(len(steps), np.int64)) is ordered
