"""The figures of some points of one series: made from the points, and joined with others."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from trackside_journal.chunks import Floats, Ints, PointColumns

SUMMARY_COLUMNS: Final = (
    "points",
    "nan_count",
    "step_min",
    "step_max",
    "time_min",
    "time_max",
    "value_min",
    "value_max",
    "value_sum",
    "last_step",
    "last_time",
    "last_value",
    "last_block",
)
"""The columns that hold a summary, in every table that has one."""


@dataclass(slots=True)
class Summary:
    """The figures of some points; there is at least one.

    NaN stands for the smallest and the largest value of points that are all NaN; their sum is
    0. The last point is that of the highest step, and of several the one stored last, which
    the sequence of its block tells.
    """

    points: int
    nan_count: int
    step_min: int
    step_max: int
    time_min: int
    time_max: int
    value_min: float
    value_max: float
    value_sum: float
    last_step: int
    last_time: int
    last_value: float
    last_block: int

    @property
    def mean(self) -> float:
        """The mean of the values that are not NaN; NaN when all are."""
        numbers = self.points - self.nan_count
        return self.value_sum / numbers if numbers else math.nan

    def row(self) -> dict[str, object]:
        """Return the columns of a row. NULL stands for NaN, which SQLite cannot store."""
        return {
            "points": self.points,
            "nan_count": self.nan_count,
            "step_min": self.step_min,
            "step_max": self.step_max,
            "time_min": self.time_min,
            "time_max": self.time_max,
            "value_min": _or_null(self.value_min),
            "value_max": _or_null(self.value_max),
            "value_sum": _or_null(self.value_sum),
            "last_step": self.last_step,
            "last_time": self.last_time,
            "last_value": _or_null(self.last_value),
            "last_block": self.last_block,
        }


def summary_of_row(values: Iterable[object]) -> Summary:
    """Return the summary that `SUMMARY_COLUMNS` hold."""
    return Summary(*[cast("int", math.nan if value is None else value) for value in values])


def summarize(points: PointColumns, *, is_ordered: bool) -> Summary:
    """Return the figures of points in the order in which they were stored."""
    steps, times, values = points.steps, points.times, points.values
    last = len(steps) - 1
    if is_ordered:
        step_min, step_max = int(steps[0]), int(steps[last])
        time_min, time_max = int(times[0]), int(times[last])
    else:
        step_min, step_max = int(steps.min()), int(steps.max())
        time_min, time_max = int(times.min()), int(times.max())
        last -= int(steps[::-1].argmax())
    numbers, total = _numbers(values)
    return Summary(
        points=len(steps),
        nan_count=len(values) - len(numbers),
        step_min=step_min,
        step_max=step_max,
        time_min=time_min,
        time_max=time_max,
        value_min=float(numbers.min()) if len(numbers) else math.nan,
        value_max=float(numbers.max()) if len(numbers) else math.nan,
        value_sum=total,
        last_step=int(steps[last]),
        last_time=int(times[last]),
        last_value=float(values[last]),
        last_block=_block_of(points, last),
    )


def are_ordered(steps: Ints, times: Ints) -> bool:
    """Whether neither steps nor times ever go back."""
    return _is_ordered(steps) and _is_ordered(times)


def join_summaries(first: Summary | None, second: Summary) -> Summary:
    """Return the figures of the points of both."""
    if first is None:
        return second
    second_is_last = (second.last_step, second.last_block) > (first.last_step, first.last_block)
    last = second if second_is_last else first
    return Summary(
        points=first.points + second.points,
        nan_count=first.nan_count + second.nan_count,
        step_min=min(first.step_min, second.step_min),
        step_max=max(first.step_max, second.step_max),
        time_min=min(first.time_min, second.time_min),
        time_max=max(first.time_max, second.time_max),
        value_min=_smaller(first.value_min, second.value_min),
        value_max=_larger(first.value_max, second.value_max),
        value_sum=first.value_sum + second.value_sum,
        last_step=last.last_step,
        last_time=last.last_time,
        last_value=last.last_value,
        last_block=last.last_block,
    )


def _numbers(values: Floats) -> tuple[Floats, float]:
    """Return the values that are not NaN, and their sum."""
    with np.errstate(all="ignore"):
        total = float(values.sum())
        if not math.isnan(total):
            return values, total
        numbers = values[~np.isnan(values)]  # or there are both infinities
        return numbers, float(numbers.sum())


def _block_of(points: PointColumns, index: int) -> int:
    if len(points.sequences) == 1:
        return int(points.sequences[0])
    return int(points.sequences[np.searchsorted(np.cumsum(points.sizes), index, side="right")])


def _is_ordered(column: Ints) -> bool:
    return bool((column[1:] >= column[:-1]).all())


def _smaller(first: float, second: float) -> float:
    return second if math.isnan(first) or second < first else first


def _larger(first: float, second: float) -> float:
    return second if math.isnan(first) or second > first else first


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
