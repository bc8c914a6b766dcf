"""What is wrong with a request to the runs service, whatever the state; empty if nothing is."""

from collections.abc import Sequence
from typing import Final

from trackside_protos.runners.v1.runners_service_pb2 import DeletionReport, Hello
from trackside_protos.runs.v1.output_deletion_pb2 import KeptReason
from trackside_protos.runs.v1.run_pb2 import Run, Sweep
from trackside_protos.runs.v1.runs_service_pb2 import (
    CloseRunRequest,
    ConfirmDeletionRequest,
    CreateRunRequest,
    DeleteOutputsRequest,
    ReadOutputRequest,
    ReportFiguresRequest,
    ReportRunRequest,
    StopRunRequest,
    UpdateRunRequest,
)
from trackside_protos.runs.v1.task_pb2 import TaskState
from trackside_runs.naming import MAXIMUM_CHILDREN, UnknownKeyError, grid_size, substituted
from trackside_runs.validation.report_shapes import REPORT
from trackside_runs.validation.rules import (
    Shape,
    Violations,
    between,
    each,
    entries,
    identifier,
    known,
    lasting,
    matching,
    moment,
    one_line,
    present,
    text,
)
from trackside_runs.validation.run_shapes import LINE, PATH, PRODUCER_ID, RESULT, RUN, RUNNER, TAGS
from trackside_serving.errors import Violation

MAXIMUM_REPORTS: Final = 1_000
"""How many reports a batch may have; more is `TOO_MANY_ITEMS`, decided where it is taken in."""

CHANGEABLE: Final = (
    "name",
    "notes",
    "tags",
    "labels",
    "description",
    "termination_protection",
)
"""The paths that an update mask may have."""

_MAXIMUM_PATHS: Final = 64

CONFIRMATION: Final = "delete"
"""The word that is to be typed before outputs are deleted."""

_BATCH: Final = Shape(
    {
        "run_id": identifier,
        "producer_id": PRODUCER_ID,
        "epoch": between(1),
        "sequence": between(1),
    },
    required=("run_id", "producer_id", "epoch", "sequence"),
)

_TASK_STATES: Final = each(known(TaskState.DESCRIPTOR), 64)
_HELLO: Final = Shape(
    {
        "agent_id": PRODUCER_ID,
        "host": one_line(256),
        "version": one_line(256),
        "runners": each(
            Shape(
                {"name": RUNNER, "capacity": between(1), "fault": LINE},
                required=("name", "capacity"),
            ),
            256,
        ),
        "held_run_ids": each(identifier, 100_000),
    },
    required=("agent_id",),
)
_CREATE: Final = Shape({"run": RUN, "producer_id": PRODUCER_ID}, required=("run",))
_STOP: Final = Shape(
    {"run_id": identifier, "grace_duration": lasting(0, 86_400)}, required=("run_id",)
)
_READING: Final = Shape(
    {
        "run_id": identifier,
        "path": PATH,
        "member": PATH,
        "offset": between(0),
        "length": between(0),
        "version": one_line(256),
    },
    required=("run_id", "path"),
    free=("accept_changed",),
)
_DELETING_OUTPUTS: Final = Shape(
    {"run_id": identifier, "confirmation": one_line(256), "paths": each(PATH, 1_000)},
    required=("run_id",),
    free=("validate_only",),
)
_COUNT: Final = between(0)
_DELETION: Final = Shape(
    {
        "run_id": identifier,
        "request_id": present(one_line(64)),
        "gone_outputs": each(
            Shape({"path": PATH, "sequence": _COUNT}, required=("path",), free=("absent",)), 500
        ),
        "result": Shape(
            {
                "deleted_count": _COUNT,
                "deleted_bytes": _COUNT,
                "absent_count": _COUNT,
                "kept_count": _COUNT,
                "kept_outputs": each(
                    Shape(
                        {
                            "path": PATH,
                            "reason": known(KeptReason.DESCRIPTOR),
                            "message": one_line(1_024),
                        },
                        required=("path",),
                    ),
                    16,
                ),
            },
        ),
    },
    required=("run_id", "request_id"),
)
_FIGURES: Final = Shape(
    {
        "runs": each(
            Shape(
                {
                    "run_id": identifier,
                    "sequence": between(1),
                    "figures": each(
                        Shape(
                            {
                                "key": present(one_line(256)),
                                "context": entries(text(512), text(4096), 64),
                            },
                            required=("key",),
                            free=("last", "best"),
                        ),
                        64,
                    ),
                },
                required=("run_id", "sequence"),
            ),
            100,
        )
    }
)
_CONFIRM: Final = Shape(
    {
        "service": matching("logs|metrics", "is neither logs nor metrics"),
        "run_ids": each(identifier, 1_000),
    },
    required=("service",),
)
_CLOSE: Final = Shape({"run_id": identifier, "result": RESULT}, required=("run_id",))


def check_run_id(run_id: str, path: str = "run_id") -> Sequence[Violation]:
    """Return what is wrong with the id in a request for one run."""
    violations = Violations()
    identifier(violations, path, run_id)
    return violations.found


def check_creation(request: CreateRunRequest) -> Sequence[Violation]:
    """Return what is wrong with a request for a new run."""
    violations = Violations()
    _CREATE(violations, "", request)
    if not violations.found:
        _check_kind(violations, request)
        _check_command(violations, request.run)
    return violations.found


def check_update(request: UpdateRunRequest) -> Sequence[Violation]:
    """Return what is wrong with a request to change a run; only what is to change counts."""
    violations = Violations()
    identifier(violations, "run.run_id", request.run.run_id)
    paths = request.update_mask.paths
    if not (paths or request.added_tags or request.removed_tags):
        violations.add("update_mask", "names nothing to change")
    if len(paths) > _MAXIMUM_PATHS:
        violations.add("update_mask", f"has more than {_MAXIMUM_PATHS} paths")
        return violations.found
    for index, path in enumerate(paths):
        if path not in CHANGEABLE:
            wanted = ", ".join(CHANGEABLE)
            violations.add(f"update_mask.paths[{index}]", f"is none of {wanted}")
        elif path == "name" and not request.run.name:
            violations.add("run.name", "is empty")
        elif rule := RUN.rules.get(path):
            rule(violations, f"run.{path}", getattr(request.run, path))
    for field in ("added_tags", "removed_tags"):
        _check_tags(violations, request, field)
    _check_expectation(violations, request)
    return violations.found


def _check_tags(violations: Violations, request: UpdateRunRequest, field: str) -> None:
    tags = getattr(request, field)
    TAGS(violations, field, tags)
    if tags and "tags" in request.update_mask.paths:
        violations.add(field, "cannot be together with `tags` in the mask")


def _check_expectation(violations: Violations, request: UpdateRunRequest) -> None:
    if request.HasField("expected_run") and not request.update_mask.paths:
        violations.add("expected_run", "is for fields that the mask names, and it names none")


def check_figures(request: ReportFiguresRequest) -> Sequence[Violation]:
    """Return what is wrong with the figures of runs."""
    violations = Violations()
    _FIGURES(violations, "", request)
    return violations.found


def check_confirmation(request: ConfirmDeletionRequest) -> Sequence[Violation]:
    """Return what is wrong with a confirmation that runs are gone."""
    violations = Violations()
    _CONFIRM(violations, "", request)
    return violations.found


def check_closing(request: CloseRunRequest) -> Sequence[Violation]:
    """Return what is wrong with a request to close a parent."""
    violations = Violations()
    _CLOSE(violations, "", request)
    return violations.found


def check_reading(request: ReadOutputRequest) -> Sequence[Violation]:
    """Return what is wrong with a request to read an output."""
    violations = Violations()
    _READING(violations, "", request)
    if request.member and not set(request.member.split("/")).isdisjoint({"", ".", ".."}):
        violations.add("member", "is no plain path below the folder")
    return violations.found


def check_outputs_deletion(request: DeleteOutputsRequest) -> Sequence[Violation]:
    """Return what is wrong with a request to delete outputs."""
    violations = Violations()
    _DELETING_OUTPUTS(violations, "", request)
    if request.confirmation != CONFIRMATION and not request.validate_only:
        violations.add("confirmation", f"is not the word `{CONFIRMATION}`")
    return violations.found


def check_deletion_report(report: DeletionReport) -> Sequence[Violation]:
    """Return what is wrong with what an agent says of a deletion."""
    violations = Violations()
    _DELETION(violations, "deletion", report)
    return violations.found


def check_stop(request: StopRunRequest) -> Sequence[Violation]:
    """Return what is wrong with a request to stop a run."""
    violations = Violations()
    _STOP(violations, "", request)
    return violations.found


def check_reports(request: ReportRunRequest) -> Sequence[Violation]:
    """Return what is wrong with a batch of reports."""
    violations = Violations()
    if not request.HasField("batch"):
        violations.add("batch", "is missing")
    else:
        _BATCH(violations, "batch", request.batch)
    for index, report in enumerate(request.reports):
        path = f"reports[{index}]"
        if report.WhichOneof("report") is None:
            violations.add(path, "reports nothing that is known here")
        else:
            REPORT(violations, path, report)
    return violations.found


def check_clock(request: ReportRunRequest) -> Sequence[Violation]:
    """Return what is wrong with what a sender's clock shows."""
    violations = Violations()
    moment(violations, "clock_time", request.clock_time)
    if request.HasField("batch") or request.reports:
        violations.add("clock_time", "is for a request of its own")
    return violations.found


def check_task_states(states: Sequence[int]) -> Sequence[Violation]:
    """Return what is wrong with the task states that are asked for."""
    violations = Violations()
    _TASK_STATES(violations, "states", states)
    return violations.found


def check_hello(hello: Hello) -> Sequence[Violation]:
    """Return what is wrong with what an agent says of itself."""
    violations = Violations()
    _HELLO(violations, "hello", hello)
    names = [offer.name for offer in hello.runners]
    for index, name in enumerate(names):
        if name in names[:index]:
            violations.add(f"hello.runners[{index}].name", "is another runner's name too")
    return violations.found


def _check_kind(violations: Violations, request: CreateRunRequest) -> None:
    run = request.run
    is_launched = run.HasField("launch")
    if run.HasField("sweep"):
        _check_sweep(violations, run)
    if is_launched and not run.runner:
        violations.add("run.runner", "is missing: a launch names who launches")
    if run.runner and not is_launched:
        violations.add("run.launch", "is missing: a runner needs something to launch")
    if is_launched and run.is_parent and not run.sweep.axes:
        violations.add("run.launch", "a parent launches nothing without a grid")
    if request.producer_id and (is_launched or run.is_parent):
        violations.add("producer_id", "is for runs that report by themselves")
    if not request.producer_id and not is_launched and not run.is_parent:
        violations.add("producer_id", "is missing: the run has nobody who could end it")
    if run.parent_run_id and (run.is_parent or run.parent_run_id == run.run_id):
        violations.add("run.parent_run_id", "a parent has no parent")


def _check_sweep(violations: Violations, run: Run) -> None:
    if not run.is_parent:
        violations.add("run.sweep", "is for parents only")
    if run.sweep.axes and not run.HasField("launch"):
        violations.add("run.launch", "is missing: the grid's children have nothing to run")
    if grid_size(run.sweep) > MAXIMUM_CHILDREN:
        violations.add("run.sweep.axes", f"make more than {MAXIMUM_CHILDREN} children")
    _check_keys(violations, run.sweep)


def _check_keys(violations: Violations, sweep: Sweep) -> None:
    seen: set[str] = set()
    for index, axis in enumerate(sweep.axes):
        if axis.key in seen:
            violations.add(f"run.sweep.axes[{index}].key", "is another axis's key too")
        seen.add(axis.key)


def _check_command(violations: Violations, run: Run) -> None:
    parameters = {**run.parameters, **{axis.key: axis.values[0] for axis in run.sweep.axes}}
    if run.HasField("launch") and not run.launch.command[0]:
        violations.add("run.launch.command[0]", "is empty")
    try:
        substituted(run.launch, parameters)
    except UnknownKeyError as error:
        violations.add(f"run.launch.command[{error.index}]", str(error))
