"""Series and their running figures, one line each."""

from collections.abc import Sequence
from typing import Final

from trackside.cli.paint import Paint
from trackside.cli.parameters import labels_text
from trackside.cli.safe_text import harmless_cell
from trackside.cli.tables import Cell, table
from trackside_protos.metrics.v1.series_pb2 import Series, SeriesGoal

_HEADERS: Final = ("SERIES", "CONTEXT", "LAST", "BEST", "MEAN", "COUNT", "STEP")
_WIDE_HEADERS: Final = ("MINIMUM", "MAXIMUM", "NAN", "GOAL")


def series_table(
    series: Sequence[Series], paint: Paint, *, wide: bool = False, width: int | None = None
) -> list[str]:
    """Return a table of series."""
    rows = [_row(one, wide=wide) for one in series]
    headers = (*_HEADERS, *_WIDE_HEADERS) if wide else _HEADERS
    return table(headers, rows, paint, width=None if wide else width, flexible=["CONTEXT"])


def _row(series: Series, *, wide: bool) -> list[Cell]:
    row: list[Cell] = [
        harmless_cell(series.key),
        labels_text(series.context),
        figure(series.last),
        figure(series.best if series.HasField("best") else None),
        figure(series.mean if series.HasField("mean") else None),
        str(series.count),
        str(series.last_step),
    ]
    if wide:
        row += [
            figure(series.minimum if series.HasField("minimum") else None),
            figure(series.maximum if series.HasField("maximum") else None),
            str(series.nan_count),
            {SeriesGoal.SERIES_GOAL_MINIMIZE: "min", SeriesGoal.SERIES_GOAL_MAXIMIZE: "max"}.get(
                series.goal, ""
            ),
        ]
    return row


def figure(value: float | None) -> str:
    """Return a number in six digits; a dash for none."""
    return "-" if value is None else f"{value:.6g}"
