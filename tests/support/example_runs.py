"""Runs as a server would send them: a sweep with children, one of them with everything."""

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry, LogLevel
from trackside_protos.metrics.v1.series_pb2 import Series, SeriesGoal
from trackside_protos.runners.v1.runners_service_pb2 import Runner
from trackside_protos.runs.v1.output_pb2 import Output, OutputKind
from trackside_protos.runs.v1.provenance_pb2 import Machine, Provenance, Source
from trackside_protos.runs.v1.run_pb2 import (
    Children,
    ControlRequest,
    ErrorReport,
    Launch,
    Progress,
    ResultSummary,
    Run,
    RunFacet,
    Sweep,
    SweepAxis,
    TaskCounts,
)
from trackside_protos.runs.v1.run_state_pb2 import (
    RunAction,
    RunState,
    StateReason,
)
from trackside_protos.runs.v1.task_pb2 import Process, Resources, Task, TaskAttempt, TaskState

NOW: Final = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
"""The present of these examples."""

PARENT_ID: Final = "9xk2v7c4m1q8e3t6"
CHILD_ID: Final = "7k2m9p0qabcdefgh"
FAILED_ID: Final = "3fh5n8r2w6y1d4jz"


def at(seconds_ago: float) -> Timestamp:
    """Return a time so many seconds before the examples' present."""
    time = Timestamp()
    time.FromDatetime(NOW - timedelta(seconds=seconds_ago))
    return time


def lasting(seconds: float) -> Duration:
    """Return a duration."""
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration


def parent() -> Run:
    """Return a sweep that is at work."""
    return Run(
        run_id=PARENT_ID,
        name="digits sweep",
        owner="ann",
        project="default",
        state=RunState.RUN_STATE_RUNNING,
        is_parent=True,
        create_time=at(200),
        start_time=at(190),
        elapsed_duration=lasting(190),
        progress=Progress(percent=40.0, remaining_duration=lasting(150)),
        children=Children(total_count=30, ended_count=12, parallelism=4, peak_concurrency=4),
        sweep=Sweep(axes=[SweepAxis(key="epsilon", values=[Value(number_value=0.02)])]),
        actions=[RunAction.RUN_ACTION_KILL],
        facets=[RunFacet.RUN_FACET_CHILDREN],
    )


def child() -> Run:
    """Return a child at work, with all that a run may have."""
    return Run(
        run_id=CHILD_ID,
        name="epsilon=0.02",
        owner="ann",
        project="default",
        state=RunState.RUN_STATE_RUNNING,
        parent_run_id=PARENT_ID,
        runner="local",
        engine="python 3.11.7",
        parameters={"epsilon": Value(number_value=0.02), "model": Value(string_value="svc")},
        labels={"team": "pit"},
        tags=["digits", "quick"],
        create_time=at(180),
        start_time=at(65),
        elapsed_duration=lasting(65),
        progress=Progress(
            percent=60.0, remaining_duration=lasting(43), message="Fitting fold 3/5 - SVC"
        ),
        task_counts=TaskCounts(running=1, succeeded=2, cached=1, pending=1),
        result=ResultSummary(best_score=0.981, best_series="accuracy"),
        provenance=Provenance(
            command=["python", "fit.py", "--epsilon", "0.02"],
            work_directory="/home/ann/digits",
            source=Source(repository="git@example.org:digits.git", commit="0123456789abcdef"),
            machine=Machine(host="box", cpu_count=2),
        ),
        launch=Launch(command=["python", "fit.py", "--epsilon", "{epsilon}"]),
        actions=[RunAction.RUN_ACTION_KILL, RunAction.RUN_ACTION_UPDATE],
        facets=[RunFacet.RUN_FACET_TASKS, RunFacet.RUN_FACET_OUTPUTS],
    )


def failed_child() -> Run:
    """Return a child that failed, with its error and the record of a kill that came too late."""
    return Run(
        run_id=FAILED_ID,
        name="epsilon=0.5",
        owner="ann",
        project="default",
        state=RunState.RUN_STATE_FAILED,
        state_reason=StateReason.STATE_REASON_EXIT_CODE,
        parent_run_id=PARENT_ID,
        parameters={"epsilon": Value(number_value=0.5)},
        create_time=at(180),
        start_time=at(120),
        end_time=at(108),
        elapsed_duration=lasting(12),
        exit_code=3,
        error=ErrorReport(
            kind="ValueError",
            message="epsilon is too large\nat most 0.4",
            traceback="Traceback (most recent call last):\n  File fit.py, line 7\nValueError",
            context={"fold": "2"},
        ),
        control_requests=[
            ControlRequest(
                request_id="c1",
                action=RunAction.RUN_ACTION_KILL,
                requester="ann",
                request_time=at(109),
                deliver_time=at(108.996),
                acknowledge_time=at(108.99),
                confirm_time=at(108.88),
            )
        ],
        sealed=True,
    )


def tasks() -> list[Task]:
    """Return the nodes of `child`: one cached, one retried, one at work, one waiting."""
    return [
        Task(
            task_id="load",
            name="load digits",
            process="load",
            state=TaskState.TASK_STATE_CACHED,
            cached=True,
            create_time=at(65),
        ),
        Task(
            task_id="scale",
            name="scale",
            process="scale",
            state=TaskState.TASK_STATE_SUCCEEDED,
            create_time=at(64),
            start_time=at(63),
            end_time=at(61.8),
            elapsed_duration=lasting(1.2),
            attempts=[
                TaskAttempt(
                    number=1,
                    state=TaskState.TASK_STATE_FAILED,
                    exit_code=1,
                    error_message="no memory",
                ),
                TaskAttempt(number=2, state=TaskState.TASK_STATE_SUCCEEDED, used=Resources(cpus=2)),
            ],
        ),
        Task(
            task_id="fit-3",
            name="fit fold 3",
            process="fit",
            state=TaskState.TASK_STATE_RUNNING,
            create_time=at(20),
            start_time=at(20),
            elapsed_duration=lasting(20),
            attempts=[TaskAttempt(number=1, state=TaskState.TASK_STATE_RUNNING)],
        ),
        Task(
            task_id="fit-4",
            name="fit fold 4",
            process="fit",
            state=TaskState.TASK_STATE_PENDING,
            create_time=at(20),
        ),
    ]


def processes() -> list[Process]:
    """Return the tasks of `child`, counted by process."""
    return [
        Process(process="load", short_process="load", cached=1, total=1),
        Process(
            process="A:B:FIT",
            short_process="B:FIT",
            running=1,
            failed=2,
            total=3,
            task_duration=lasting(40),
        ),
    ]


def series() -> list[Series]:
    """Return the series of `child`."""
    return [
        Series(
            key="accuracy",
            context={"fold": "3"},
            count=3,
            last=0.975,
            best=0.981,
            mean=0.97,
            minimum=0.95,
            maximum=0.981,
            last_step=3,
            goal=SeriesGoal.SERIES_GOAL_MAXIMIZE,
        ),
        Series(key="loss", count=1, last=float("nan"), nan_count=1),
    ]


def outputs() -> list[Output]:
    """Return the outputs of `child`: a model, and a report that is gone."""
    return [
        Output(
            path="model.joblib",
            size_bytes=1_540_000,
            compressed_bytes=812,
            exists=True,
            kind=OutputKind.OUTPUT_KIND_MODEL,
            create_time=at(5),
        ),
        Output(
            path="report.html",
            size_bytes=999,
            kind=OutputKind.OUTPUT_KIND_REPORT,
            late=True,
            create_time=at(4),
        ),
    ]


def log_block() -> LogBlock:
    """Return log entries: plain output, a warning with context, and terminal escapes."""
    return LogBlock(
        first_sequence=41,
        entries=[
            LogEntry(time=at(10), message="fold 2 done", stream="stdout"),
            LogEntry(
                time=at(9),
                message="slow to converge",
                stream="log",
                level=LogLevel.LOG_LEVEL_WARNING,
                context={"fold": "3"},
            ),
            LogEntry(time=at(8), message="\x1b]0;owned\x07\x1b[2Jhello", stream="stdout"),
        ],
    )


def runners() -> list[Runner]:
    """Return a runner that is connected, and one that cannot be used."""
    return [
        Runner(
            name="local",
            host="box",
            agent_id="agent-1",
            connected=True,
            capacity=2,
            active_count=1,
            heartbeat_time=at(3),
        ),
        Runner(name="slurm", host="login1", fault="sbatch is not installed", heartbeat_time=at(90)),
    ]
