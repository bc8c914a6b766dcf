from datetime import UTC, datetime
from typing import Any

from trackside.client.metrics import Metrics
from trackside_protos.metrics.v1.metrics_service_pb2 import Buckets, Points, SeriesPoints

RAW = SeriesPoints(
    key="loss",
    context={"fold": "1"},
    points=Points(steps=[0, 1], times_millis=[0, 1_500], values=[0.5, 0.25]),
)
OTHER = SeriesPoints(key="rate", points=Points(steps=[7], times_millis=[0], values=[1.0]))
COARSE = SeriesPoints(
    key="loss",
    buckets=Buckets(
        first_steps=[0],
        last_steps=[9],
        first_times_millis=[0],
        last_times_millis=[9_000],
        counts=[10],
        nan_counts=[0],
        minimums=[0.1],
        maximums=[0.9],
        means=[0.5],
        lasts=[0.2],
    ),
)


def test_points_are_rows_of_a_pandas_table() -> None:
    table: Any = Metrics([RAW, OTHER]).to_pandas()

    assert list(table.columns) == ["key", "fold", "step", "time", "value"]
    assert table["key"].tolist() == ["loss", "loss", "rate"]
    assert table["fold"].tolist()[:2] == ["1", "1"]
    assert table["fold"].isna().tolist() == [False, False, True]
    assert table["value"].tolist() == [0.5, 0.25, 1.0]
    assert table["time"][1] == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_buckets_are_rows_with_their_extremes() -> None:
    table: Any = Metrics([COARSE, OTHER]).to_pandas()

    first, alone = table.to_dict("records")
    assert (first["minimum"], first["maximum"], first["value"]) == (0.1, 0.9, 0.2)
    assert (first["step"], first["last_step"], first["count"]) == (0, 9, 10)
    assert (alone["minimum"], alone["maximum"], alone["mean"]) == (1.0, 1.0, 1.0)
    assert (alone["step"], alone["last_step"], alone["count"]) == (7, 7, 1)


def test_no_series_are_an_empty_table() -> None:
    assert len(Metrics([]).to_pandas()) == 0
