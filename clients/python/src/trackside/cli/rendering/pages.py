"""The page about one run: what it is, how it stands, what it consists of, what to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from trackside.cli.paint import Paint, Style, Text
from trackside.cli.parameters import labels_text, parameters_text
from trackside.cli.rendering.children import child_table
from trackside.cli.rendering.control import control_lines
from trackside.cli.rendering.log import tail_line
from trackside.cli.rendering.next_steps import next_steps
from trackside.cli.rendering.outputs import output_table
from trackside.cli.rendering.progress import bar, doing_text, progress_text
from trackside.cli.rendering.provenance import provenance_fields
from trackside.cli.rendering.runs import duration_text, exit_text, state_text
from trackside.cli.rendering.series import figure, series_table
from trackside.cli.rendering.tasks import node_table, process_table
from trackside.cli.safe_text import harmless, harmless_cell
from trackside.cli.tables import Cell, fields
from trackside.cli.times import ago, is_set, when
from trackside.client.errors import TracksideError
from trackside.client.log_lines import LogLine
from trackside.client.states import condition_word, reason_word
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.run_pb2 import ErrorReport, ResultSummary, Run
from trackside_protos.runs.v1.run_state_pb2 import Condition
from trackside_protos.runs.v1.task_pb2 import Process, Task

_BAR_WIDTH: Final = 24
_TRACEBACK_LINES: Final = 40


@dataclass(frozen=True, slots=True)
class RunPage:
    """What the page about one run shows; of long lists only some."""

    run: Run
    parent: Run | None = None
    children: Sequence[Run] = ()
    tasks: Sequence[Task] = ()
    processes: Sequence[Process] = ()
    series: Sequence[Series] = ()
    outputs: Sequence[Output] = ()
    log: Sequence[LogLine] = ()
    awaited: str = ""
    """What a queued run waits for, if that is known."""
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    """By the title of a section that goes on: the command that shows the rest."""
    missing: Sequence[TracksideError] = ()
    """Why something is not on the page, if so."""


def page_lines(page: RunPage, now: datetime, paint: Paint, width: int | None = None) -> list[str]:
    """Return the page about a run."""
    lines = header_lines(page, now, paint)
    room = None if width is None else width - 2
    for title, content in _sections(page, now, paint, room):
        if content:
            lines += ["", paint.text(title, Style.STRONG), *(f"  {line}" for line in content)]
        if title in page.more:
            lines.append(f"  … more: {page.more[title]}")
    return lines


def _sections(
    page: RunPage, now: datetime, paint: Paint, width: int | None
) -> list[tuple[str, list[str]]]:
    run = page.run
    return [
        ("Error", error_lines(run.error) if run.HasField("error") else []),
        (
            "Children",
            child_table(run, page.children, now, paint, width=width) if page.children else [],
        ),
        ("Nodes", node_table(page.tasks, paint, width=width) if page.tasks else []),
        ("Processes", process_table(page.processes, paint, width=width) if page.processes else []),
        ("Scores", series_table(page.series, paint, width=width) if page.series else []),
        ("Outputs", output_table(page.outputs, now, paint, width=width) if page.outputs else []),
        ("Control", control_lines(run.control_requests)),
        ("Last log lines", [tail_line(line, paint) for line in page.log]),
        ("Next", next_steps(run, page.children, has_series=bool(page.series))),
    ]


def header_lines(page: RunPage, now: datetime, paint: Paint) -> list[str]:
    """Return the title and the named values of a run."""
    run = page.run
    kind = "Parent run" if run.is_parent else "Run"
    shown: list[tuple[str, Cell]] = [
        ("Name", Text(harmless(run.name), Style.STRONG)),
        ("Description", harmless(run.description)),
        ("State", _state(run, paint)),
        ("Waits for", harmless(page.awaited)),
        ("Engine's word", harmless(run.engine_state)),
        *(("Condition", _condition(condition, now)) for condition in run.conditions),
        ("Progress", _progress(run, paint)),
        ("Doing", doing_text(run)),
        ("Exit", exit_text(run)),
        ("Result", result_text(run.result)),
        ("Parent", _parent(page)),
        ("Resumes", run.resumed_run_id),
        ("Owner", f"{harmless(run.owner)} (project {harmless(run.project)})"),
        ("Runner", harmless(run.runner)),
        ("Engine", harmless(run.engine)),
        ("Workflow", harmless(run.workflow_name)),
        ("External key", harmless(run.external_key)),
        ("Created", when(run.create_time, now)),
        ("Submitted", when(run.submit_time, now)),
        ("Started", when(run.start_time, now)),
        ("Ended", when(run.end_time, now)),
        ("Duration", duration_text(run)),
        ("Protected", "stays IDLE until a user ends it" if run.termination_protection else ""),
        ("Parameters", parameters_text(run.parameters)),
        ("Labels", labels_text(run.labels)),
        ("Tags", harmless_cell(", ".join(run.tags))),
        *provenance_fields(run),
        ("Notes", harmless(run.notes)),
    ]
    return [paint.text(f"{kind} {run.run_id}", Style.STRONG), *fields(shown, paint)]


def _state(run: Run, paint: Paint) -> Text:
    word = state_text(run, paint)
    reason = reason_word(run.state_reason)
    message = f": {harmless(run.state_message)}" if run.state_message else ""
    return Text(f"{word.text}{' ' if reason else ''}{reason}{message}", word.style)


def _condition(condition: Condition, now: datetime) -> Text:
    since = f" since {ago(condition.since_time, now)}" if is_set(condition.since_time) else ""
    message = f": {harmless(condition.message)}" if condition.message else ""
    return Text(f"{condition_word(condition.kind)}{since}{message}", Style.NOTABLE)


def _progress(run: Run, paint: Paint) -> str:
    text = progress_text(run)
    if not run.progress.HasField("percent"):
        return text
    return f"{bar(run.progress.percent, _BAR_WIDTH, paint)} {text}"


def _parent(page: RunPage) -> str:
    if page.parent is None:
        return page.run.parent_run_id
    return f"{page.parent.run_id} ({harmless(page.parent.name)})"


def result_text(result: ResultSummary) -> str:
    """Return what a run achieved, on one line; empty when nothing was said."""
    parts: list[str] = []
    if result.HasField("best_score"):
        series = f" {harmless(result.best_series)}" if result.best_series else ""
        parts.append(f"best{series} {figure(result.best_score)}")
    if result.best_run_id:
        parts.append(f"by {harmless(result.best_run_id)}")
    if result.models_trained_count:
        parts.append(f"{result.models_trained_count} models trained")
    parts += [] if not result.values.fields else [parameters_text(result.values.fields)]
    return ", ".join(parts)


def error_lines(error: ErrorReport) -> list[str]:
    """Return what went wrong; of a long traceback its end."""
    context = f" ({labels_text(error.context)})" if error.context else ""
    task = f" in task {harmless(error.task_id)}" if error.task_id else ""
    message = error.message.splitlines() or [""]
    lines = [f"{harmless(error.kind)}: {harmless(message[0])}{task}{context}"]
    lines += [f"  {harmless(line)}" for line in message[1:]]
    traceback = error.traceback.splitlines()
    lines += ["  …"] if len(traceback) > _TRACEBACK_LINES else []
    return lines + [f"  {harmless(line)}" for line in traceback[-_TRACEBACK_LINES:]]
