"""The children of a parent, one line each, told apart by their parameters."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from trackside.cli.paint import Paint
from trackside.cli.parameters import child_label, varying_keys
from trackside.cli.rendering.progress import doing_text, ended_share
from trackside.cli.rendering.runs import duration_text, state_text
from trackside.cli.rendering.series import figure
from trackside.cli.tables import Cell, table
from trackside.cli.times import ago
from trackside_protos.runs.v1.run_pb2 import Run

_HEADERS: Final = ("CHILD", "NAME", "CREATED", "STATE", "DURATION", "TASKS", "BEST", "")


def child_table(
    parent: Run,
    children: Sequence[Run],
    now: datetime,
    paint: Paint,
    *,
    width: int | None = None,
    since_received: float = 0.0,
) -> list[str]:
    """Return a table of children; the columns that none of them fills are left out."""
    keys = varying_keys(parent, children)
    rows: list[list[Cell]] = [
        [
            child.run_id,
            child_label(child, keys),
            ago(child.create_time, now),
            state_text(child, paint),
            duration_text(child, since_received),
            ended_share(child.task_counts),
            figure(child.result.best_score) if child.result.HasField("best_score") else "",
            doing_text(child),
        ]
        for child in children
    ]
    return table(
        _HEADERS,
        rows,
        paint,
        width=width,
        flexible=["", "NAME"],
        expendable=["CREATED", "BEST"],
        sparse=True,
    )
