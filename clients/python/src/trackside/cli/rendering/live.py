"""The live page as lines that fit a screen."""

from collections.abc import Callable, Sequence
from typing import Final

from trackside.cli.live_model import LiveModel, Received
from trackside.cli.paint import Paint, Style
from trackside.cli.parameters import child_label, in_grid_order, varying_keys
from trackside.cli.rendering.log import tail_line
from trackside.cli.rendering.pages import error_lines, result_text
from trackside.cli.rendering.progress import bar, doing_text, ended_share, progress_text
from trackside.cli.rendering.runs import duration_text, state_text
from trackside.cli.rendering.series import figure, series_table
from trackside.cli.rendering.tasks import node_table
from trackside.cli.safe_text import harmless, harmless_cell
from trackside.cli.tables import Cell, table
from trackside.client.states import has_ended
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.task_pb2 import Task, TaskState

_BAR_WIDTH: Final = 30
_SERIES: Final = 8
_LEAST_TAIL: Final = 6
_TABLE_SHARE: Final = 0.6


def live_lines(model: LiveModel, at: float, paint: Paint, size: tuple[int, int]) -> list[str]:
    """Return the page.

    Args:
        model: What is known.
        at: The present, on the clock of the model.
        paint: How to decorate.
        size: Columns and lines that there are.
    """
    width, height = size
    lines = _header(model, at, paint)
    room = max(0, height - len(lines) - 1)
    table_room = max(3, int(room * _TABLE_SHARE) if model.tail else room)
    if model.run.is_parent:
        body = _children(model, at, paint, width, table_room)
    else:
        body = [*_nodes(model, at, paint, width, table_room), *_series(model, paint, width)]
    lines += body[: max(0, room - min(_LEAST_TAIL, len(model.tail)))]
    tail = _tail(model, paint, height - len(lines) - 1)
    return [*lines, *([""] if tail else []), *tail]


def _header(model: LiveModel, at: float, paint: Paint) -> list[str]:
    run = model.run
    title = paint.text(harmless(run.name) or run.run_id, Style.STRONG)
    state = paint.apply(state_text(run, paint))
    facts = [run.run_id, harmless(run.owner), duration_text(run, _since(run, model, at))]
    lines = [f"{title}  {state}  {'  '.join(fact for fact in facts if fact)}"]
    progress = progress_text(run)
    if run.progress.HasField("percent"):
        progress = f"{bar(run.progress.percent, _BAR_WIDTH, paint)} {progress}"
    doing = doing_text(run) or _innermost_scope(model)
    lines += [" ".join(part for part in (progress, doing) if part)] if progress or doing else []
    lines += [f"Result: {text}" for text in [result_text(run.result)] if text]
    lines += [paint.text(line, Style.BAD) for line in _failure(run)]
    if model.away:
        lines.append(paint.text(f"! reconnecting: {harmless(model.away)}", Style.NOTABLE))
    return lines


def _since(run: Run, model: LiveModel, at: float) -> float:
    return 0.0 if has_ended(run) else at - model.received_at


def _failure(run: Run) -> list[str]:
    if run.HasField("error"):
        return error_lines(run.error)[:1]
    failed = run.state == RunState.RUN_STATE_FAILED and run.state_message
    return [harmless(run.state_message)] if failed else []


def _innermost_scope(model: LiveModel) -> str:
    """Return what the innermost open scope counts, for example `variant/fold 3/5`."""
    if has_ended(model.run):
        return ""
    scopes = [scope for scope in model.view.scopes.values() if not scope.HasField("end_time")]
    if not scopes:
        return ""
    scope = max(scopes, key=lambda one: one.path.count("/"))
    total = f"/{scope.total_count}" if scope.HasField("total_count") else ""
    message = f" {harmless(scope.message)}" if scope.message else ""
    return f"{harmless(scope.path)} {scope.completed_count}{total}{message}"


def _children(model: LiveModel, at: float, paint: Paint, width: int, room: int) -> list[str]:
    if not model.children:
        return []
    every = in_grid_order(model.run, [child.run for child in model.children.values()])
    keys = varying_keys(model.run, every)
    shown = sorted(every, key=_rank)[: max(1, room - 3)]
    rows = [_child_row(model.children[run.run_id], keys, at, paint) for run in shown]
    lines = table(
        ("CHILD", "STATE", "DURATION", "TASKS", "BEST", ""),
        rows,
        paint,
        width=width,
        flexible=["", "CHILD"],
        sparse=True,
    )
    hidden = len(every) - len(shown)
    return ["", *lines, *([f"… and {hidden} more"] if hidden else [])]


def _child_row(child: Received, keys: Sequence[str], at: float, paint: Paint) -> list[Cell]:
    run = child.run
    counting = 0.0 if has_ended(run) else at - child.at
    return [
        child_label(run, keys),
        state_text(run, paint),
        duration_text(run, counting),
        ended_share(run.task_counts),
        figure(run.result.best_score) if run.result.HasField("best_score") else "",
        doing_text(run) or progress_text(run),
    ]


def _rank(run: Run) -> tuple[int, float]:
    """Order what moves before what has ended (the latest first) before what waits."""
    if has_ended(run):
        return (1, -float(run.end_time.seconds))
    return (0 if run.start_time.seconds else 2, float(run.start_time.seconds))


_TASK_RANKS: Final = {
    TaskState.TASK_STATE_RUNNING: 0,
    TaskState.TASK_STATE_FAILED: 1,
    TaskState.TASK_STATE_SUBMITTED: 3,
    TaskState.TASK_STATE_PENDING: 4,
}
_ENDED_TASK_RANK: Final = 2


def _nodes(model: LiveModel, at: float, paint: Paint, width: int, room: int) -> list[str]:
    tasks = sorted(model.view.tasks.values(), key=_task_rank)
    if not tasks:
        return []
    shown = tasks[: max(1, room - 3)]
    lines = node_table(shown, paint, width=width, since_received=_since(model.run, model, at))
    hidden = len(tasks) - len(shown)
    return ["", *lines, *([f"… and {hidden} more"] if hidden else [])]


def _task_rank(task: Task) -> tuple[int, int]:
    return (_TASK_RANKS.get(task.state, _ENDED_TASK_RANK), -task.sequence)


def _series(model: LiveModel, paint: Paint, width: int) -> list[str]:
    if not model.series:
        return []
    return ["", *series_table(model.series[:_SERIES], paint, width=width)]


def _tail(model: LiveModel, paint: Paint, room: int) -> list[str]:
    if room <= 1:
        return []
    label = _labels(model)
    lines = list(model.tail)[-(room - 1) :]
    return [tail_line(line, paint, label(run_id)) for run_id, line in lines]


def _labels(model: LiveModel) -> Callable[[str], str]:
    """Return what to put before a log line: nothing in a single run, else which child it is."""
    keys = varying_keys(model.run, [child.run for child in model.children.values()])

    def label(run_id: str) -> str:
        child = model.children.get(run_id)
        return "" if child is None else child_label(child.run, keys)

    return label


def list_lines(
    runs: Sequence[Received], at: float, paint: Paint, size: tuple[int, int]
) -> list[str]:
    """Return the live list of runs."""
    width, height = size
    rows: list[list[Cell]] = [
        [
            one.run.run_id,
            harmless_cell(one.run.name),
            state_text(one.run, paint),
            duration_text(one.run, 0.0 if has_ended(one.run) else at - one.at),
            " ".join(part for part in (progress_text(one.run), doing_text(one.run)) if part),
        ]
        for one in sorted(runs, key=lambda one: -one.run.create_time.seconds)[: height - 3]
    ]
    if not rows:
        return ["No runs yet."]
    return table(
        ("RUN", "NAME", "STATE", "DURATION", "PROGRESS"),
        rows,
        paint,
        width=width,
        flexible=["PROGRESS", "NAME"],
    )
