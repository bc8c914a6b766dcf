"""Answers to queries, encoded column by column: no object for a point, and one copy of each."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trackside_journal import wire
from trackside_metrics.blocks import Columns
from trackside_metrics.buckets import Records
from trackside_metrics.identities import Identity
from trackside_protos.metrics.v1 import metrics_service_pb2 as schema

_SERIES: Final = schema.QueryPointsResponse.SERIES_FIELD_NUMBER

Part = bytes | memoryview


class Answer:
    """An encoded `QueryPointsResponse` that is being put together."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add_points(self, identity: Identity, points: Columns) -> None:
        """Add a series with all its points."""
        count = len(points.steps)
        head = _head(identity, schema.POINT_METHOD_RAW, count, count)
        fields = zip(schema.Points.DESCRIPTOR.fields, points, strict=True)
        columns = _columns([(field.number, column) for field, column in fields])
        self._add(head, schema.SeriesPoints.POINTS_FIELD_NUMBER, columns)

    def add_buckets(self, identity: Identity, records: Records) -> None:
        """Add a series with its buckets."""
        count = int(records.count.sum())
        head = _head(identity, schema.POINT_METHOD_MIN_MAX, count, len(records.count))
        numbers = schema.Buckets
        columns = _columns(
            [
                (numbers.FIRST_STEPS_FIELD_NUMBER, records.first_step),
                (numbers.LAST_STEPS_FIELD_NUMBER, records.last_step),
                (numbers.FIRST_TIMES_MILLIS_FIELD_NUMBER, records.first_time),
                (numbers.LAST_TIMES_MILLIS_FIELD_NUMBER, records.last_time),
                (numbers.COUNTS_FIELD_NUMBER, records.count),
                (numbers.NAN_COUNTS_FIELD_NUMBER, records.nan_count),
                (numbers.MINIMUMS_FIELD_NUMBER, records.minimum),
                (numbers.MAXIMUMS_FIELD_NUMBER, records.maximum),
                (numbers.MEANS_FIELD_NUMBER, records.mean),
                (numbers.LASTS_FIELD_NUMBER, records.last),
            ]
        )
        self._add(head, schema.SeriesPoints.BUCKETS_FIELD_NUMBER, columns)

    def encode(self) -> bytes:
        """Return the response."""
        return b"".join(self._parts)

    def _add(self, head: bytes, number: int, columns: list[Part]) -> None:
        opening = _opening(number, _size(columns))
        size = len(head) + len(opening) + _size(columns)
        self._parts += [_opening(_SERIES, size), head, opening, *columns]


def _head(
    identity: Identity, method: "schema.PointMethod.ValueType", found: int, returned: int
) -> bytes:
    return schema.SeriesPoints(
        key=identity.key,
        context=identity.context_map,
        method=method,
        input_count=found,
        output_count=returned,
    ).SerializeToString()


def _columns(columns: Sequence[tuple[int, npt.NDArray[np.generic]]]) -> list[Part]:
    parts: list[Part] = []
    for number, column in columns:
        if len(column):
            words = np.ascontiguousarray(column).view(np.uint8)
            parts += [_opening(number, len(words)), words.data]
    return parts


def _opening(number: int, size: int) -> bytes:
    """Return what precedes a length-delimited field of so many bytes."""
    return wire.varint(number << 3 | 2) + wire.varint(size)


def _size(parts: Sequence[Part]) -> int:
    return sum(map(len, parts))
