"""How far a run is, in words and as a bar."""

from typing import Final

from trackside.cli.paint import Paint, Style
from trackside.cli.safe_text import harmless_cell
from trackside.cli.times import rough_span, seconds_of
from trackside.client.states import has_ended
from trackside_protos.runs.v1.run_pb2 import Run, TaskCounts

_FULL: Final = 100.0


def progress_text(run: Run) -> str:
    """Return for example `42%, ~3 min left`, `12/30 ended`, or nothing when nothing is known."""
    parts: list[str] = []
    if run.is_parent:
        parts.append(f"{run.children.ended_count}/{run.children.total_count} ended")
    if run.progress.HasField("percent"):
        parts.append(f"{run.progress.percent:.0f}%")
    elif not run.is_parent and task_total(run.task_counts):
        parts.append(f"{ended_tasks(run.task_counts)}/{task_total(run.task_counts)} tasks")
    if remaining := remaining_text(run):
        parts.append(remaining)
    return ", ".join(parts)


def remaining_text(run: Run) -> str:
    """Return for example `~3 min left`; empty when there is no estimate or nothing is left."""
    if has_ended(run) or not run.progress.HasField("remaining_duration"):
        return ""
    return f"{rough_span(seconds_of(run.progress.remaining_duration))} left"


def doing_text(run: Run) -> str:
    """Return what the run does now; empty once its work is over."""
    return "" if has_ended(run) else harmless_cell(run.progress.message)


def ended_tasks(counts: TaskCounts) -> int:
    """Return how many tasks are over."""
    return counts.succeeded + counts.failed + counts.aborted + counts.cached


def task_total(counts: TaskCounts) -> int:
    """Return how many tasks there are."""
    return ended_tasks(counts) + counts.pending + counts.submitted + counts.running


def ended_share(counts: TaskCounts) -> str:
    """Return the share of ended tasks, for example `4/5 80%`; empty without tasks."""
    total = task_total(counts)
    if not total:
        return ""
    ended = ended_tasks(counts)
    return f"{ended}/{total} {_FULL * ended / total:.0f}%"


def bar(percent: float, width: int, paint: Paint) -> str:
    """Return a bar of `width` columns."""
    filled = round(width * min(max(percent, 0.0), _FULL) / _FULL)
    full, empty = ("█", "░") if paint.symbols else ("#", "-")
    return paint.text(full * filled, Style.GOOD) + paint.text(empty * (width - filled), Style.FAINT)
