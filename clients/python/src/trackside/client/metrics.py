"""The points of series, as a list that turns into tables of pandas and Arrow."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from trackside_protos.metrics.v1.metrics_service_pb2 import SeriesPoints

if TYPE_CHECKING:
    import pandas as pd

_POINTS: Final = {"step": "steps", "time": "times_millis", "value": "values"}
_BUCKETS: Final = {
    "step": "first_steps",
    "last_step": "last_steps",
    "time": "first_times_millis",
    "last_time": "last_times_millis",
    "count": "counts",
    "minimum": "minimums",
    "maximum": "maximums",
    "mean": "means",
    "value": "lasts",
}


class Metrics(tuple[SeriesPoints, ...]):
    """The points of series, in order of key, then context.

    As a table, there is a row for each point with the columns `key`, `step`, `time`, `value`, and
    one for each name in a context. Down-sampled, a row stands for a bucket, whose `value` is its
    last one, with `minimum`, `maximum`, `mean`, `count`, `last_step` and `last_time` beside it.

    Example:
        ```python
        table = trackside.get_run("@latest").metrics("loss").to_pandas()
        ```
    """

    __slots__ = ()

    def __new__(cls, series: Iterable[SeriesPoints]) -> Self:
        """Hold these series."""
        return super().__new__(cls, series)

    def to_pandas(self) -> "pd.DataFrame":
        """Return them as a table of pandas, which must be installed.

        Raises:
            ImportError: It is not.
        """
        import pandas as pd  # noqa: PLC0415 - optional, and slow to import

        columns: dict[str, Any] = dict(self.columns())
        for name in ("time", "last_time"):
            if name in columns:
                columns[name] = pd.to_datetime(columns[name], unit="ms", utc=True)
        return pd.DataFrame(columns)

    def to_arrow(self) -> Any:  # noqa: ANN401 - a `pyarrow.Table`, whose types are not installed
        """Return them as a table of Arrow; `pyarrow` must be installed.

        Raises:
            ImportError: It is not.
        """
        from importlib import import_module  # noqa: PLC0415

        arrow: Any = import_module("pyarrow")
        columns: dict[str, Any] = dict(self.columns())
        for name in ("time", "last_time"):
            if name in columns:
                columns[name] = arrow.array(columns[name], arrow.timestamp("ms", tz="UTC"))
        return arrow.table(columns)

    def columns(self) -> Mapping[str, list[Any]]:
        """Return the table as lists of one length; times are in milliseconds since 1970."""
        has_buckets = any(series.HasField("buckets") for series in self)
        parts = _BUCKETS if has_buckets else _POINTS
        contexts = sorted({name for series in self for name in series.context} - {*parts, "key"})
        table: dict[str, list[Any]] = {name: [] for name in ("key", *contexts, *parts)}
        for series in self:
            rows = _rows(series, parts)
            count = len(rows["step"])
            table["key"] += [series.key] * count
            for name in contexts:
                table[name] += [series.context.get(name)] * count
            for name, values in rows.items():
                table[name] += values
        return table


def _rows(series: SeriesPoints, parts: Mapping[str, str]) -> dict[str, list[Any]]:
    if series.HasField("buckets"):
        return {name: list(getattr(series.buckets, part)) for name, part in parts.items()}
    points = series.points
    alone = {name: list(getattr(points, _POINTS[name])) for name in _POINTS}
    if parts is _POINTS:
        return alone
    # A series with few points is not down-sampled: each of them is a bucket of its own.
    like = {"last_step": "step", "last_time": "time"}
    widened = {name: alone[like.get(name, "value")] for name in parts if name not in _POINTS}
    return {**alone, **widened, "count": [1] * len(alone["step"])}
