"""Lists of runs, one line each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from trackside.cli.paint import Paint, Style, Text
from trackside.cli.rendering.progress import progress_text
from trackside.cli.rendering.series import figure as figure_text
from trackside.cli.safe_text import harmless_cell
from trackside.cli.tables import Cell, table
from trackside.cli.times import ago, is_set, seconds_of, span
from trackside.client.states import condition_word, run_state_word
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

_HEADERS: Final = ("RUN", "NAME", "STATE", "PROGRESS", "CREATED", "DURATION")
_WIDE_HEADERS: Final = (
    "OWNER",
    "PROJECT",
    "RUNNER",
    "TAGS",
    "EXIT",
    "BEST",
    "PARENT",
    "DESCRIPTION",
)
_BEST_SHOWN: Final = 3
_SYSTEM: Final = "system/"


def run_table(
    runs: Sequence[Run],
    now: datetime,
    paint: Paint,
    *,
    wide: bool = False,
    width: int | None = None,
) -> list[str]:
    """Return a table of runs; none of its columns is cut off when `wide`."""
    rows = [_row(run, now, paint, wide=wide) for run in runs]
    headers = (*_HEADERS, *_WIDE_HEADERS) if wide else _HEADERS
    return table(
        headers,
        rows,
        paint,
        width=None if wide else width,
        flexible=["NAME", "PROGRESS"],
        expendable=["CREATED"],
    )


def _row(run: Run, now: datetime, paint: Paint, *, wide: bool) -> list[Cell]:
    row: list[Cell] = [
        run.run_id,
        harmless_cell(run.name),
        state_text(run, paint),
        progress_text(run),
        ago(run.create_time, now),
        duration_text(run),
    ]
    if wide:
        row += [
            harmless_cell(run.owner),
            harmless_cell(run.project),
            harmless_cell(run.runner),
            harmless_cell(",".join(run.tags)),
            exit_text(run),
            best_text(run),
            run.parent_run_id,
            harmless_cell(run.description),
        ]
    return row


def best_text(run: Run) -> str:
    """Return the best values of a few of the run's own series: `accuracy=0.98, loss=0.02`."""
    best = [
        f"{harmless_cell(figure.key)}={figure_text(figure.best)}"
        for figure in run.series_figures
        if figure.HasField("best") and not figure.context and not figure.key.startswith(_SYSTEM)
    ]
    more = ["…"] if len(best) > _BEST_SHOWN else []
    return ", ".join([*best[:_BEST_SHOWN], *more])


def state_text(run: Run, paint: Paint) -> Text:
    """Return the state with what stands beside it: `IDLE (COMPLETED)`, `RUNNING (STALLED)`."""
    beside = [condition_word(condition.kind) for condition in run.conditions]
    if run.state in (RunState.RUN_STATE_IDLE, RunState.RUN_STATE_TERMINATED) and run.outcome:
        beside.insert(0, run_state_word(run.outcome))
    word = paint.state(run_state_word(run.state))
    if not beside:
        return word
    return Text(f"{word.text} ({', '.join(beside)})", Style.NOTABLE)


def duration_text(run: Run, since_received: float = 0.0) -> str:
    """Return how long the work has taken; empty before it started.

    Args:
        run: The run.
        since_received: How many seconds ago the server said so; added while the run works.
    """
    if not is_set(run.start_time):
        return ""
    counting = 0.0 if is_set(run.end_time) else since_received
    return span(seconds_of(run.elapsed_duration) + counting)


def exit_text(run: Run) -> str:
    """Return the exit code, or the signal that ended the work; empty when there is none."""
    if run.HasField("exit_signal"):
        return f"signal {run.exit_signal}"
    return str(run.exit_code) if run.HasField("exit_code") else ""
