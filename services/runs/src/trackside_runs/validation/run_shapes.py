"""What a run and its parts must be like when a caller gives them."""

from typing import Final

from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_runs.naming import MAXIMUM_NAME
from trackside_runs.validation.rules import (
    Shape,
    anything,
    at_most_bytes,
    between,
    each,
    entries,
    every,
    identifier,
    known,
    lasting,
    matching,
    moment,
    one_line,
    present,
    sentence,
    text,
    value_within,
)

MAXIMUM_PARAMETERS: Final = 1_000
MAXIMUM_LABELS: Final = 64
MAXIMUM_TAGS: Final = 64

_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_DAY: Final = 86_400

PRODUCER_ID: Final = matching(
    r"[A-Za-z0-9._-]{1,64}", "is not 1 to 64 letters, digits, `-`, `_` or `.`"
)
RUNNER: Final = matching(r"[a-z0-9-]{1,64}", "is not 1 to 64 lower-case letters, digits or hyphens")
NAME: Final = one_line(MAXIMUM_NAME)
LINE: Final = sentence(1_024)
"""One line for people. What a program says may have control characters: pages escape them."""

PATH: Final = text(4_096)
KEY: Final = one_line(256)
CONTEXT: Final = entries(one_line(128), text(4 * _KIB), 64)
TAGS: Final = each(present(one_line(128)), MAXIMUM_TAGS)
LABELS: Final = entries(one_line(128), one_line(1_024), MAXIMUM_LABELS)
PARAMETERS: Final = entries(KEY, value_within(64 * _KIB), MAXIMUM_PARAMETERS)
HEARTBEAT_INTERVAL: Final = lasting(0.1, 3_600)
COMMAND: Final = each(text(128 * _KIB), 100_000)
ENVIRONMENT: Final = entries(
    matching(r"[^=\x00]{1,1024}", "is no name of an environment variable"), text(128 * _KIB), 10_000
)

PROVENANCE: Final = every(
    at_most_bytes(8 * _MIB),
    Shape(
        {
            "source": Shape(
                {
                    "repository": LINE,
                    "revision": LINE,
                    "commit": one_line(128),
                    "path": PATH,
                    "changes": text(256 * _KIB),
                },
                free=("dirty",),
            ),
            "command": COMMAND,
            "configuration": value_within(2 * _MIB),
            "environment": ENVIRONMENT,
            "packages": entries(one_line(256), one_line(256), 10_000),
            "machine": Shape(
                {
                    "host": one_line(256),
                    "machine_type": one_line(256),
                    "platform": LINE,
                    "cpu_count": between(0),
                    "memory_bytes": between(0),
                    "runtime": LINE,
                    "process_id": between(0),
                }
            ),
            "work_directory": PATH,
            "output_directory": PATH,
            "datasets": each(
                Shape(
                    {
                        "name": NAME,
                        "fingerprint": one_line(256),
                        "location": PATH,
                        "size_bytes": between(0),
                        "row_count": between(0),
                    }
                ),
                1_000,
            ),
            "container": Shape(
                {
                    "image": one_line(1_024),
                    "mounts": each(
                        Shape({"source": PATH, "mount_point": PATH}, free=("read_only",)), 1_000
                    ),
                }
            ),
        }
    ),
)

LAUNCH: Final = every(
    at_most_bytes(4 * _MIB),
    Shape(
        {
            "command": COMMAND,
            "work_directory": PATH,
            "environment": ENVIRONMENT,
            "time_limit_duration": lasting(1, 366 * _DAY),
            "memory_limit_bytes": between(_MIB),
            "machine_type": one_line(256),
        },
        required=("command",),
    ),
)

SWEEP: Final = Shape(
    {
        "axes": each(
            Shape(
                {"key": present(KEY), "values": each(value_within(64 * _KIB), 10_000)},
                required=("key", "values"),
            ),
            64,
        ),
        "parallelism": between(0, 10_000),
    },
    free=("close_after_grid",),
)

RESULT: Final = Shape(
    {
        "best_score": anything,
        "best_series": KEY,
        "best_run_id": identifier,
        "models_trained_count": between(0),
        "values": value_within(256 * _KIB),
    }
)

ERROR: Final = Shape(
    {
        "kind": one_line(256),
        "message": text(16 * _KIB),
        "traceback": text(256 * _KIB),
        "context": CONTEXT,
        "task_id": one_line(128),
        "time": moment,
    }
)

RUN: Final = Shape(
    {
        "run_id": identifier,
        "name": NAME,
        "project": matching(
            r"[A-Za-z0-9._-]{1,64}", "is not 1 to 64 letters, digits, `-`, `_` or `.`"
        ),
        "parent_run_id": identifier,
        "resumed_run_id": identifier,
        "external_key": one_line(512),
        "runner": RUNNER,
        "engine": NAME,
        "workflow_name": NAME,
        "parameters": PARAMETERS,
        "labels": LABELS,
        "tags": TAGS,
        "notes": text(64 * _KIB),
        "description": LINE,
        "result": RESULT,
        "heartbeat_interval": HEARTBEAT_INTERVAL,
        "lost_after_duration": lasting(1, 366 * _DAY),
        "provenance": PROVENANCE,
        "launch": LAUNCH,
        "sweep": SWEEP,
    },
    free=("termination_protection", "is_parent"),
)
"""A run as it is asked for; fields that only the server sets are ignored."""

STATE: Final = known(RunState.DESCRIPTOR)
