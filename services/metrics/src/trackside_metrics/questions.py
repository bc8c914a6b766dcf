"""Queries of points, as they were asked and checked."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement

from trackside_journal.chunks import Ints
from trackside_metrics.blocks import Columns
from trackside_metrics.selection import Selection, check_run_id, read_selection
from trackside_metrics.summaries import Summary
from trackside_metrics.tables import CHUNK
from trackside_protos.metrics.v1 import metrics_service_pb2 as schema
from trackside_serving.errors import InvalidFieldError

BUCKET_LIMIT: Final = 100_000

_LOWEST: Final = -(1 << 63)
_HIGHEST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class PointRange:
    """Which points are wanted: all bounds are included."""

    first_step: int = _LOWEST
    last_step: int = _HIGHEST
    first_time: int = _LOWEST
    last_time: int = _HIGHEST

    def __bool__(self) -> bool:
        return self != _EVERYTHING

    def holds(self, summary: Summary) -> bool:
        """Whether all points of some figures are wanted."""
        return (
            self.first_step <= summary.step_min
            and summary.step_max <= self.last_step
            and self.first_time <= summary.time_min
            and summary.time_max <= self.last_time
        )

    def pick(self, points: Columns) -> Columns:
        """Return the points that are wanted."""
        if not self:
            return points
        chosen = _between(points.steps, self.first_step, self.last_step)
        chosen &= _between(points.times, self.first_time, self.last_time)
        return points if chosen.all() else points.take(chosen)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return conditions on chunks that may have such points."""
        if not self:
            return []
        return [
            CHUNK.c.step_max >= self.first_step,
            CHUNK.c.step_min <= self.last_step,
            CHUNK.c.time_max >= self.first_time,
            CHUNK.c.time_min <= self.last_time,
        ]


_EVERYTHING: Final = PointRange()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for."""

    run_id: str
    selection: Selection
    range: PointRange
    max_buckets: int
    """0: all points."""
    by_time: bool


def read_question(request: schema.QueryPointsRequest) -> Question:
    """Return what is asked for.

    Raises:
        InvalidFieldError: A field is wrong.
    """
    check_run_id(request.run_id)
    if not 0 <= request.max_buckets <= BUCKET_LIMIT:
        field = "max_buckets"
        raise InvalidFieldError.of(field, f"not 0 to {BUCKET_LIMIT:,}")
    if request.axis not in schema.PointAxis.values():
        field = "axis"
        raise InvalidFieldError.of(field, "no such axis")
    wanted = PointRange(
        request.first_step if request.HasField("first_step") else _LOWEST,
        request.last_step if request.HasField("last_step") else _HIGHEST,
        request.start_time_millis if request.HasField("start_time_millis") else _LOWEST,
        request.end_time_millis - 1 if request.HasField("end_time_millis") else _HIGHEST,
    )
    if wanted.first_step > wanted.last_step:
        field = "last_step"
        raise InvalidFieldError.of(field, "below first_step")
    if wanted.first_time > wanted.last_time:
        field = "end_time_millis"
        raise InvalidFieldError.of(field, "not after start_time_millis")
    return Question(
        run_id=request.run_id,
        selection=read_selection(request.filter),
        range=wanted,
        max_buckets=request.max_buckets,
        by_time=request.axis == schema.POINT_AXIS_TIME,
    )


def _between(column: Ints, low: int, high: int) -> npt.NDArray[np.bool_]:
    return (column >= low) & (column <= high)
