from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import ListValue, Value
from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.producers.v1.batch_pb2 import Batch
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.provenance_pb2 import Provenance
from trackside_protos.runs.v1.report_pb2 import (
    AttributesReport,
    ControlReport,
    GapReport,
    Heartbeat,
    ProducerClosed,
    RunReport,
    StateReport,
)
from trackside_protos.runs.v1.run_pb2 import (
    ErrorReport,
    Launch,
    ResultSummary,
    Run,
    Sweep,
    SweepAxis,
)
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    CloseRunRequest,
    CreateRunRequest,
    ReportRunRequest,
    UpdateRunRequest,
)
from trackside_protos.runs.v1.scope_pb2 import Scope
from trackside_protos.runs.v1.task_pb2 import Resources, Task, TaskAttempt, TaskState
from trackside_runs.validation.requests import (
    check_closing,
    check_creation,
    check_reports,
    check_run_id,
    check_update,
)

RUN_ID = "0123456789abcdef"
ONE = Value(number_value=1)
LAUNCH = Launch(command=["train", "--alpha={alpha}"])
GRID = Sweep(axes=[SweepAxis(key="alpha", values=[ONE])])
RUNNING = TaskState.TASK_STATE_RUNNING
FIRST = TaskAttempt(number=1, state=RUNNING)
SECOND = TaskAttempt(number=2, state=RUNNING)
NOT_A_NUMBER = Resources(cpus=float("nan"))
RUNNING_RUN = RunState.RUN_STATE_RUNNING
UNKNOWN = RunState.ValueType(999)


def nested(levels: int) -> Value:
    value = Value(string_value="x")
    for _ in range(levels):
        value = Value(list_value=ListValue(values=[value]))
    return value


def fields_of_creation(run: Run, producer_id: str = "sdk-1") -> list[str]:
    return [v.field for v in check_creation(CreateRunRequest(run=run, producer_id=producer_id))]


@pytest.mark.parametrize(
    ("run", "producer_id"),
    [
        (Run(), "sdk-1"),
        (Run(run_id=RUN_ID, name="Größe 1", tags=["a", "b"], labels={"k": ""}), "sdk-1"),
        (Run(runner="local", launch=Launch(command=["a", "{}", "{print $1}"])), ""),
        (Run(runner="local", launch=LAUNCH, parameters={"alpha": ONE}), ""),
        (Run(runner="local", launch=LAUNCH, is_parent=True, sweep=GRID), ""),
        (Run(is_parent=True, sweep=Sweep(parallelism=2)), ""),
        (Run(is_parent=True), ""),
        (Run(parent_run_id=RUN_ID, parameters={"deep": nested(32)}), "sdk-1"),
        (Run(heartbeat_interval=Duration(seconds=10), sequence=-3, owner="x\n"), "sdk-1"),
        (Run(notes="a\n\tb" + "x" * 65_532), "sdk-1"),
    ],
)
def test_a_right_run_is_taken(run: Run, producer_id: str) -> None:
    assert check_creation(CreateRunRequest(run=run, producer_id=producer_id)) == []


@pytest.mark.parametrize(
    ("run", "field"),
    [
        (Run(run_id="0123456789ABCDEF"), "run.run_id"),
        (Run(run_id="0123456789abcdeu"), "run.run_id"),
        (Run(run_id="abc"), "run.run_id"),
        (Run(name="x" * 257), "run.name"),
        (Run(name="a\x1b[31m"), "run.name"),
        (Run(project="my project"), "run.project"),
        (Run(external_key="x" * 513), "run.external_key"),
        (Run(tags=["a", ""]), "run.tags[1]"),
        (Run(tags=[str(n) for n in range(65)]), "run.tags"),
        (Run(labels={"": "x"}), "run.labels[]"),
        (Run(labels={"k": "a\0"}), "run.labels[k]"),
        (Run(parameters={str(n): ONE for n in range(1001)}), "run.parameters"),
        (Run(parameters={"deep": nested(33)}), "run.parameters[deep]"),
        (Run(parameters={"k" * 257: ONE}), f"run.parameters[{'k' * 64}]"),
        (Run(notes="x" * 65_537), "run.notes"),
        (Run(notes="a\0"), "run.notes"),
        (Run(heartbeat_interval=Duration(seconds=-1)), "run.heartbeat_interval"),
        (Run(heartbeat_interval=Duration(seconds=10**12)), "run.heartbeat_interval"),
        (Run(lost_after_duration=Duration(nanos=1)), "run.lost_after_duration"),
        (Run(provenance=Provenance(environment={"A=B": "x"})), "run.provenance.environment[A=B]"),
        (Run(result=ResultSummary(best_run_id="x")), "run.result.best_run_id"),
        (Run(runner="Local"), "run.runner"),
        (Run(runner="local"), "run.launch"),
        (Run(sweep=Sweep()), "run.sweep"),
        (Run(parent_run_id=RUN_ID, run_id=RUN_ID), "run.parent_run_id"),
    ],
)
def test_a_wrong_field_is_named(run: Run, field: str) -> None:
    assert fields_of_creation(run) == [field]


@pytest.mark.parametrize(
    ("launch", "description"),
    [
        (
            Launch(time_limit_duration=Duration(nanos=500_000_000)),
            "is 0.5 s and must be 1 s to 366 days",
        ),
        (
            Launch(time_limit_duration=Duration(seconds=400 * 86_400)),
            "is 400 days and must be 1 s to 366 days",
        ),
        (
            Launch(time_limit_duration=Duration(seconds=1, nanos=-1)),
            "is no duration: seconds and nanos must be of one sign",
        ),
        (Launch(memory_limit_bytes=0), "is 0 and must be at least 1,048,576"),
    ],
)
def test_a_limit_out_of_bounds_says_what_it_may_be(launch: Launch, description: str) -> None:
    launch.command.append("true")

    (violation,) = check_creation(CreateRunRequest(run=Run(runner="local", launch=launch)))

    assert violation.description == description


@pytest.mark.parametrize(
    ("run", "producer_id", "field"),
    [
        (Run(), "", "producer_id"),
        (Run(), "sdk 1", "producer_id"),
        (Run(is_parent=True), "sdk-1", "producer_id"),
        (Run(launch=Launch(command=["a"])), "", "run.runner"),
        (Run(runner="local", launch=Launch()), "", "run.launch.command"),
        (Run(runner="local", launch=Launch(command=["", "a"])), "", "run.launch.command[0]"),
        (Run(runner="local", launch=Launch(command=["a\0"])), "", "run.launch.command[0]"),
        (
            Run(runner="local", launch=LAUNCH, parameters={"beta": ONE}),
            "",
            "run.launch.command[1]",
        ),
        (Run(runner="local", launch=LAUNCH, is_parent=True), "", "run.launch"),
        (Run(is_parent=True, sweep=GRID), "", "run.launch"),
        (Run(is_parent=True, parent_run_id=RUN_ID), "", "run.parent_run_id"),
    ],
)
def test_a_run_that_cannot_be_is_refused(run: Run, producer_id: str, field: str) -> None:
    assert fields_of_creation(run, producer_id) == [field]


def test_a_request_without_a_run_is_refused() -> None:
    assert [v.field for v in check_creation(CreateRunRequest(producer_id="a"))] == ["run"]


@pytest.mark.parametrize(
    ("sweep", "field"),
    [
        (Sweep(axes=[SweepAxis(key="a")]), "run.sweep.axes[0].values"),
        (Sweep(axes=[SweepAxis(values=[ONE])]), "run.sweep.axes[0].key"),
        (Sweep(axes=[SweepAxis(key="alpha", values=[ONE])] * 2), "run.sweep.axes[1].key"),
        (Sweep(parallelism=-1), "run.sweep.parallelism"),
        (
            Sweep(axes=[SweepAxis(key=key, values=[ONE] * 101) for key in ("alpha", "b")]),
            "run.sweep.axes",
        ),
    ],
)
def test_an_impossible_grid_is_refused(sweep: Sweep, field: str) -> None:
    run = Run(runner="local", launch=LAUNCH, is_parent=True, sweep=sweep)

    assert field in fields_of_creation(run, "")


def test_no_more_is_told_than_helps() -> None:
    assert len(fields_of_creation(Run(tags=[""] * 64))) == 16


@pytest.mark.parametrize("run_id", ["", "x", "0123456789abcdeF", "0123456789abcdef\n"])
def test_a_wrong_run_id_is_told(run_id: str) -> None:
    assert [v.field for v in check_run_id(run_id)] == ["run_id"]
    assert not check_run_id(RUN_ID)


def update(paths: list[str], **fields: Any) -> list[str]:
    request = UpdateRunRequest(run=Run(run_id=RUN_ID, **fields), update_mask=FieldMask(paths=paths))
    return [violation.field for violation in check_update(request)]


def test_an_update_changes_what_people_may_change() -> None:
    every = ["name", "notes", "tags", "labels", "description", "termination_protection"]

    assert update(every, name="n", tags=["a"]) == []


@pytest.mark.parametrize("path", ["*", "owner", "state", "run_id", "nonsense", "labels.a", ""])
def test_an_update_of_anything_else_is_refused(path: str) -> None:
    assert update(["notes", path]) == ["update_mask.paths[1]"]


def test_an_update_without_a_mask_is_refused() -> None:
    assert update([]) == ["update_mask"]
    assert update(["name"] * 10_000) == ["update_mask"]


@pytest.mark.parametrize("field", ["added_tags", "removed_tags"])
def test_single_tags_are_checked_and_stand_alone(field: str) -> None:
    def told(request: UpdateRunRequest, *tags: str) -> list[str]:
        getattr(request, field).extend(tags)
        return [violation.field for violation in check_update(request)]

    run = Run(run_id=RUN_ID)
    both = UpdateRunRequest(run=run, update_mask=FieldMask(paths=["tags"]))
    assert told(UpdateRunRequest(run=run), "keep") == []
    assert told(UpdateRunRequest(run=run), "") == [f"{field}[0]"]
    assert told(both, "keep") == [field]


def test_an_expectation_is_of_what_the_mask_names() -> None:
    run = Run(run_id=RUN_ID, notes="old")
    request = UpdateRunRequest(run=run, added_tags=["x"], expected_run=run)

    assert [found.field for found in check_update(request)] == ["expected_run"]


def test_only_what_is_to_change_is_checked() -> None:
    assert update(["description"], notes="\0") == []
    assert update(["notes"], notes="\0") == ["run.notes"]


def test_a_close_names_its_run() -> None:
    assert [v.field for v in check_closing(CloseRunRequest())] == ["run_id"]
    assert not check_closing(CloseRunRequest(run_id=RUN_ID, result=ResultSummary(best_score=1)))


BATCH = Batch(run_id=RUN_ID, producer_id="sdk-1", epoch=1, sequence=1)


def fields_of_batch(*reports: RunReport) -> list[str]:
    return [v.field for v in check_reports(ReportRunRequest(batch=BATCH, reports=reports))]


@pytest.mark.parametrize(
    "report",
    [
        RunReport(state=StateReport(state=RunState.RUN_STATE_COMPLETED, exit_code=0)),
        RunReport(heartbeat=Heartbeat()),
        RunReport(scope=Scope(path="variant/fold", completed_count=3, total_count=0)),
        RunReport(
            task=Task(task_id="1", state=RUNNING, attempts=[TaskAttempt(number=1, state=RUNNING)])
        ),
        RunReport(output=Output(path="/a/b c.txt")),
        RunReport(error=ErrorReport(message="a\x1b\n", traceback="x" * 262_144)),
        RunReport(closed=ProducerClosed()),
        RunReport(time=Timestamp(seconds=-5), provenance=Provenance()),
    ],
)
def test_a_right_report_is_taken(report: RunReport) -> None:
    assert fields_of_batch(report) == []


@pytest.mark.parametrize(
    ("report", "field"),
    [
        (RunReport(), ""),
        (RunReport(time=Timestamp(seconds=10**12), heartbeat=Heartbeat()), ".time"),
        (RunReport(time=Timestamp(nanos=-1), heartbeat=Heartbeat()), ".time"),
        (RunReport(state=StateReport()), ".state.state"),
        (RunReport(state=StateReport(state=UNKNOWN)), ".state.state"),
        (RunReport(state=StateReport(state=RUNNING_RUN, exit_code=256)), ".state.exit_code"),
        (RunReport(state=StateReport(state=RUNNING_RUN, message="x" * 1025)), ".state.message"),
        (RunReport(scope=Scope()), ".scope.path"),
        (RunReport(scope=Scope(path="a//b")), ".scope.path"),
        (RunReport(scope=Scope(path="/".join("a" * 17))), ".scope.path"),
        (RunReport(scope=Scope(path="a", completed_count=-1)), ".scope.completed_count"),
        (RunReport(scope=Scope(path="a", total_count=-1)), ".scope.total_count"),
        (RunReport(task=Task(state=RUNNING)), ".task.task_id"),
        (RunReport(task=Task(task_id="1")), ".task.state"),
        (RunReport(task=Task(task_id="x" * 129, state=RUNNING)), ".task.task_id"),
        (
            RunReport(task=Task(task_id="1", state=RUNNING, attempts=[TaskAttempt(state=RUNNING)])),
            ".task.attempts[0].number",
        ),
        (
            RunReport(
                task=Task(
                    task_id="1",
                    state=RUNNING,
                    attempts=[TaskAttempt(number=n, state=RUNNING) for n in (2, 1)],
                )
            ),
            ".task.attempts",
        ),
        (
            RunReport(
                task=Task(task_id="1", state=RUNNING, requested=Resources(cpus=float("nan")))
            ),
            ".task.requested.cpus",
        ),
        (RunReport(output=Output()), ".output.path"),
        (RunReport(output=Output(path="a/../../b")), ".output.path"),
        (RunReport(output=Output(path="a\nb")), ".output.path"),
        (RunReport(output=Output(path="ä" * 2049)), ".output.path"),
        (RunReport(output=Output(path="a", size_bytes=-1)), ".output.size_bytes"),
        (RunReport(attributes=AttributesReport(tags=["a\n"])), ".attributes.tags[0]"),
        (RunReport(control=ControlReport(request_id="x")), ".control.step"),
        (RunReport(gap=GapReport(item_count=-1)), ".gap.item_count"),
        (RunReport(closed=ProducerClosed(logs_batch_count=-1)), ".closed.logs_batch_count"),
    ],
)
def test_a_wrong_report_is_named_by_its_place(report: RunReport, field: str) -> None:
    right = RunReport(heartbeat=Heartbeat())

    assert fields_of_batch(right, report) == [f"reports[1]{field}"]


@pytest.mark.parametrize(
    ("batch", "field"),
    [
        (None, "batch"),
        (Batch(producer_id="a", epoch=1, sequence=1), "batch.run_id"),
        (Batch(run_id=RUN_ID, epoch=1, sequence=1), "batch.producer_id"),
        (Batch(run_id=RUN_ID, producer_id="a/b", epoch=1, sequence=1), "batch.producer_id"),
        (Batch(run_id=RUN_ID, producer_id="a", sequence=1), "batch.epoch"),
        (Batch(run_id=RUN_ID, producer_id="a", epoch=-1, sequence=1), "batch.epoch"),
        (Batch(run_id=RUN_ID, producer_id="a", epoch=1), "batch.sequence"),
    ],
)
def test_a_batch_says_whose_it_is(batch: Batch | None, field: str) -> None:
    assert [v.field for v in check_reports(ReportRunRequest(batch=batch))] == [field]
