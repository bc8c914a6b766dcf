from support.example_runs import child, failed_child
from trackside.cli.paint import Paint
from trackside.cli.rendering.changes import RunChanges
from trackside_protos.runs.v1.run_pb2 import ErrorReport, Progress, Run
from trackside_protos.runs.v1.run_state_pb2 import Condition, ConditionKind, RunState, StateReason


def _running(message: str = "", percent: float = 0.0) -> Run:
    progress = Progress(message=message, percent=percent)
    return Run(state=RunState.RUN_STATE_RUNNING, progress=progress)


def test_a_state_is_said_once() -> None:
    changes = RunChanges("", Paint())
    queued = Run(state=RunState.RUN_STATE_PENDING, state_reason=StateReason.STATE_REASON_QUEUED)

    assert [changes.lines(queued, 0.0), changes.lines(queued, 9.0)] == [["PENDING QUEUED"], []]


def test_an_end_is_said_with_its_cause() -> None:
    lines = RunChanges("epsilon=0.5", Paint()).lines(failed_child(), 0.0)

    assert lines == [
        "epsilon=0.5 FAILED EXIT_CODE, exit 3, 12 s, ValueError: epsilon is too large\\nat most 0.4"
    ]


def test_a_refusal_is_said_once() -> None:
    cause = "command '/tmp' is a directory"
    error = ErrorReport(kind="LaunchRefused", message=cause)
    refused = Run(state=RunState.RUN_STATE_FAILED, state_message=cause, error=error)

    assert RunChanges("", Paint()).lines(refused, 0.0) == [f"FAILED {cause}"]


def test_progress_is_said_when_it_changes_but_not_too_often() -> None:
    changes = RunChanges("", Paint())
    changes.lines(_running(), 0.0)

    said = [
        changes.lines(_running("fold 1", 20), 1.0),
        changes.lines(_running("fold 2", 40), 1.5),
        changes.lines(_running("fold 3", 60), 2.5),
        changes.lines(_running("fold 3", 60), 9.0),
    ]

    assert said == [["20% fold 1"], [], ["60% fold 3"], []]


def test_conditions_that_come_and_go_are_said() -> None:
    changes = RunChanges("", Paint())
    run = child()
    changes.lines(run, 0.0)
    run.conditions.append(Condition(kind=ConditionKind.CONDITION_KIND_KILLING))

    came = changes.lines(run, 0.1)
    del run.conditions[:]
    went = changes.lines(run, 0.2)

    assert (came, went) == (["RUNNING (KILLING)"], ["RUNNING"])
