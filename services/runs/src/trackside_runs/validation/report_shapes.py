"""What the reports of a producer must be like."""

from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

from trackside_protos.runs.v1.output_pb2 import OutputKind
from trackside_protos.runs.v1.report_pb2 import ControlStep
from trackside_protos.runs.v1.run_state_pb2 import StateReason
from trackside_protos.runs.v1.task_pb2 import TaskAttempt, TaskState, TaskWait
from trackside_runs.validation.rules import (
    Rule,
    Shape,
    Violations,
    between,
    each,
    every,
    known,
    lasting,
    moment,
    one_line,
    present,
    text,
)
from trackside_runs.validation.run_shapes import (
    CONTEXT,
    ERROR,
    HEARTBEAT_INTERVAL,
    LABELS,
    LINE,
    NAME,
    PARAMETERS,
    PATH,
    PROVENANCE,
    RESULT,
    STATE,
    TAGS,
)

MAXIMUM_SCOPE_DEPTH: Final = 16
_KIB: Final = 1024
_TASK_ID: Final = one_line(128)
_MESSAGE: Final = LINE
_ENGINE_STATE: Final = one_line(256)
_TIMES: Final[dict[str, Rule]] = {
    "submit_time": moment,
    "start_time": moment,
    "end_time": moment,
}


def _scope_path(violations: Violations, path: str, value: str) -> None:
    names = value.split("/")
    if not all(names):
        violations.add(path, "has an empty name")
    elif len(names) > MAXIMUM_SCOPE_DEPTH:
        violations.add(path, f"has more than {MAXIMUM_SCOPE_DEPTH} names")


def _output_path(violations: Violations, path: str, value: str) -> None:
    if ".." in PurePosixPath(value).parts:
        violations.add(path, "leads out of its folder by `..`")


def _absolute(violations: Violations, path: str, value: str) -> None:
    if not value.startswith("/") or {".", ".."} & set(value.split("/")):
        violations.add(path, "is no plain absolute path")


def _ascending(violations: Violations, path: str, attempts: list[TaskAttempt]) -> None:
    numbers = [attempt.number for attempt in attempts]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        violations.add(path, "are not in ascending order of their numbers")


SCOPE_PATH: Final = every(one_line(512), _scope_path)

SCOPE: Final = Shape(
    {
        "path": SCOPE_PATH,
        "completed_count": between(0),
        "total_count": between(0),
        "unit": one_line(64),
        "message": _MESSAGE,
        "start_time": moment,
        "end_time": moment,
        "context": CONTEXT,
    },
    required=("path",),
    free=("percent", "median_item_duration", "remaining_duration"),
)

RESOURCES: Final = Shape(
    {
        "cpus": between(0),
        "memory_bytes": between(0),
        "disk_bytes": between(0),
        "duration": lasting(0, 315_576_000_000),
        "accelerators": between(0),
        "cpu_percent": between(0),
        "read_bytes": between(0),
        "written_bytes": between(0),
    }
)

ATTEMPT: Final = Shape(
    {
        "number": between(1, 1_000_000),
        "state": known(TaskState.DESCRIPTOR),
        "error_message": text(16 * _KIB),
        **_TIMES,
        "used": RESOURCES,
        "machine_type": one_line(256),
        "host": one_line(256),
        "engine_id": one_line(256),
    },
    required=("number", "state"),
    free=("exit_code",),
)

TASK: Final = Shape(
    {
        "task_id": _TASK_ID,
        "name": NAME,
        "process": one_line(512),
        "parent_task_id": _TASK_ID,
        "state": known(TaskState.DESCRIPTOR),
        "wait": known(TaskWait.DESCRIPTOR),
        "message": _MESSAGE,
        "engine_state": _ENGINE_STATE,
        "attempts": every(each(ATTEMPT, 1_000), _ascending),
        "script": text(64 * _KIB),
        "requested": RESOURCES,
        "work_directory": PATH,
        "container_image": one_line(1_024),
        "scope_path": SCOPE_PATH,
        "context": CONTEXT,
        "create_time": moment,
        **_TIMES,
    },
    required=("task_id", "state"),
    free=("cached", "elapsed_duration", "sequence", "short_process"),
)

OUTPUT: Final = Shape(
    {
        "path": every(PATH, one_line(4_096), _output_path),
        "size_bytes": between(0),
        "compressed_bytes": between(0),
        "checksum": one_line(256),
        "kind": known(OutputKind.DESCRIPTOR),
        "media_type": one_line(256),
        "description": LINE,
        "task_id": _TASK_ID,
        "create_time": moment,
        "location": PATH,
    },
    required=("path",),
    free=("exists", "late", "sequence"),
)

REPORT: Final = Shape(
    {
        "time": moment,
        "state": Shape(
            {
                "state": STATE,
                "reason": known(StateReason.DESCRIPTOR),
                "message": _MESSAGE,
                "engine_state": _ENGINE_STATE,
                "exit_code": between(0, 255),
                "exit_signal": between(1, 127),
            },
            required=("state",),
        ),
        "heartbeat": Shape({"interval": HEARTBEAT_INTERVAL}),
        "scope": SCOPE,
        "task": TASK,
        "output": OUTPUT,
        "provenance": PROVENANCE,
        "error": ERROR,
        "progress": Shape({"message": _MESSAGE}),
        "attributes": Shape(
            {
                "engine": NAME,
                "workflow_name": NAME,
                "tags": TAGS,
                "labels": LABELS,
                "description": LINE,
                "parameters": PARAMETERS,
            }
        ),
        "closed": Shape({"logs_batch_count": between(0), "metrics_batch_count": between(0)}),
        "control": Shape(
            {"request_id": present(one_line(64)), "step": known(ControlStep.DESCRIPTOR)},
            required=("request_id", "step"),
            free=("nothing_found",),
        ),
        "usage": Shape(
            {"processor_duration": lasting(0, 315_576_000_000), "peak_memory_bytes": between(0)}
        ),
        "result": RESULT,
        "output_directory": Shape(
            {"path": every(PATH, _absolute), "identity": one_line(256), "hazard": LINE},
            required=("path",),
        ),
        "gap": Shape(
            {
                "kind": one_line(64),
                "item_count": between(0),
                "size_bytes": between(0),
                "reason": LINE,
                "first_time": moment,
                "last_time": moment,
            }
        ),
    }
)
