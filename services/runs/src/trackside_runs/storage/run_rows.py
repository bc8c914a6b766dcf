"""What a run's message says in the narrow tables, so that filters find what the message says."""

from typing import Any, Final

from trackside_protos.runs.v1.run_pb2 import Run
from trackside_runs.filtering.parameters import parameter_number, parameter_text
from trackside_runs.filtering.runs import milliseconds
from trackside_runs.filtering.search_text import search_text

Row = dict[str, Any]


def run_values(run: Run) -> Row:
    """Return the values of the table `run` that follow from the message."""
    return {
        "run_id": run.run_id,
        "create_time_ms": milliseconds(run.create_time),
        "start_time_ms": milliseconds(run.start_time),
        "end_time_ms": milliseconds(run.end_time),
        "state": run.state,
        "state_reason": run.state_reason,
        "conditions": condition_bits(run),
        "owner": run.owner,
        "project": run.project,
        "name": run.name,
        "parent_run_id": run.parent_run_id,
        "runner": run.runner,
        "workflow_name": run.workflow_name,
        "session_id": run.session_id,
        "external_key": run.external_key or None,
        "exit_code": run.exit_code if run.HasField("exit_code") else None,
        "is_parent": run.is_parent,
        "sealed": run.sealed,
        "sequence": run.sequence,
        "heartbeat_interval_ms": run.heartbeat_interval.ToMilliseconds(),
        "lost_after_ms": run.lost_after_duration.ToMilliseconds(),
    }


def condition_bits(run: Run) -> int:
    """Return the conditions that hold, as bits."""
    bits = 0
    for condition in run.conditions:
        bits |= 1 << condition.kind
    return bits


def search_row(run: Run) -> Row:
    """Return the row of the table `run_search`."""
    return {"run_id": run.run_id, "text": search_text(run)}


def tag_rows(run: Run) -> list[Row]:
    """Return the rows of the table `run_tag`."""
    return [{"run_id": run.run_id, "tag": tag} for tag in sorted(set(run.tags))]


def label_rows(run: Run) -> list[Row]:
    """Return the rows of the table `run_label`."""
    return [{"run_id": run.run_id, "key": key, "value": run.labels[key]} for key in run.labels]


def parameter_rows(run: Run) -> list[Row]:
    """Return the rows of the table `run_parameter`."""
    return [
        {
            "run_id": run.run_id,
            "key": key,
            "text": parameter_text(run.parameters[key]),
            "number": parameter_number(run.parameters[key]),
        }
        for key in run.parameters
    ]


FIGURE_COLUMNS: Final = ("key", "run_id", "ordinal", "last", "best")


def figure_rows(run: Run) -> list[tuple[Any, ...]]:
    """Return the rows of the table `run_figure`, in the order of `FIGURE_COLUMNS`."""
    return [
        (
            figure.key,
            run.run_id,
            ordinal,
            figure.last if figure.HasField("last") else None,
            figure.best if figure.HasField("best") else None,
        )
        for ordinal, figure in enumerate(run.series_figures)
    ]
