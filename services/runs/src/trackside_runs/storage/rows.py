"""Between messages and rows: pure."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import RowMapping, Table

from trackside_protos.runs.v1 import output_pb2, run_pb2, scope_pb2, task_pb2
from trackside_runs.filtering.runs import milliseconds
from trackside_runs.record import RunRecord
from trackside_runs.storage import run_rows, tables
from trackside_runs.storage.keys import path_key

_COUNTS: Final = (
    "pending",
    "submitted",
    "running",
    "succeeded",
    "failed",
    "aborted",
    "cached",
    "retried",
    "total",
)


def run_row(record: RunRecord) -> dict[str, Any]:
    """Return the narrow row of a run."""
    return run_rows.run_values(record.message) | {
        "authority": record.facts.authority,
        "position": record.position,
        "first_sequence": record.first_sequence,
        "heartbeat_ms": record.heartbeat_ms,
        "report_ms": record.report_ms,
        "final_ms": record.facts.final_ms,
    }


def index_rows(runs: Sequence[run_pb2.Run]) -> Mapping[Table, list[dict[str, Any]]]:
    """Return the rows of tags, labels and parameters by their table."""
    return {
        tables.RUN_TAG: [row for run in runs for row in run_rows.tag_rows(run)],
        tables.RUN_LABEL: [row for run in runs for row in run_rows.label_rows(run)],
        tables.RUN_PARAMETER: [row for run in runs for row in run_rows.parameter_rows(run)],
    }


def process_row(run_id: str, process: task_pb2.Process, ordinal: int) -> dict[str, Any]:
    """Return the row of a process."""
    return {
        "run_id": run_id,
        "process": process.process,
        "ordinal": ordinal,
        "create_time_ms": milliseconds(process.create_time),
        "task_duration_ms": process.task_duration.ToMilliseconds(),
        "sequence": process.sequence,
        **{name: getattr(process, name) for name in _COUNTS},
    }


def process_of(row: RowMapping) -> task_pb2.Process:
    """Return the process that a row holds."""
    process = task_pb2.Process(
        process=row["process"],
        short_process=short_name(row["process"]),
        sequence=row["sequence"],
        **{name: row[name] for name in _COUNTS},
    )
    if row["task_duration_ms"]:
        process.task_duration.FromMilliseconds(row["task_duration_ms"])
    if row["create_time_ms"]:
        process.create_time.FromMilliseconds(row["create_time_ms"])
    return process


@lru_cache(maxsize=4096)
def short_name(process: str) -> str:
    """Return the last two colon-separated segments of a process's name."""
    return ":".join(process.split(":")[-2:])


def scope_row(run_id: str, scope: scope_pb2.Scope, items: bytes, ordinal: int) -> dict[str, Any]:
    """Return the row of a scope."""
    return {
        "run_id": run_id,
        "path": scope.path,
        "ordinal": ordinal,
        "is_open": not scope.HasField("end_time"),
        "items": items,
        "message": scope.SerializeToString(),
    }


def output_row(run_id: str, output: output_pb2.Output) -> dict[str, Any]:
    """Return the row of an output."""
    return {
        "run_id": run_id,
        "path_key": path_key(output.path),
        "message": output.SerializeToString(),
    }


def directory_row(run: run_pb2.Run, position: int) -> dict[str, Any]:
    """Return the row of the directory."""
    return {
        "run_id": run.run_id,
        "position": position,
        "owner": run.owner,
        "project": run.project,
        "sealed": run.sealed,
        "end_time_ms": milliseconds(run.end_time),
        "deleted": run.HasField("delete_time"),
    }
