import pytest

from trackside.cli.end_of_run import QUIET, EndOfRun, exit_code_of_run, result_code
from trackside_protos.runs.v1.run_pb2 import Children, Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

_COMPLETED = RunState.RUN_STATE_COMPLETED
_FAILED = RunState.RUN_STATE_FAILED
_TERMINATED = RunState.RUN_STATE_TERMINATED
_IDLE = RunState.RUN_STATE_IDLE


def test_a_run_at_work_is_not_over() -> None:
    end = EndOfRun(clock=lambda: 1e9)

    assert not end.is_over(Run(state=RunState.RUN_STATE_RUNNING))


def test_a_sealed_run_is_over_at_once() -> None:
    assert EndOfRun(clock=lambda: 0.0).is_over(Run(state=_FAILED, sealed=True))


def test_a_sealed_parent_is_over_when_all_children_were_told_of() -> None:
    end = EndOfRun(clock=lambda: 0.0)
    parent = Run(state=_FAILED, sealed=True, is_parent=True, children=Children(total_count=2))

    assert [end.is_over(parent, ended_children=told) for told in (1, 2)] == [False, True]


def test_an_ended_run_is_over_when_it_is_quiet() -> None:
    time = [0.0]
    end = EndOfRun(clock=lambda: time[0])

    time[0] = QUIET + 1
    end.news()
    at_news = end.is_over(Run(state=_FAILED))
    time[0] += QUIET + 1

    assert [at_news, end.is_over(Run(state=_FAILED))] == [False, True]


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (Run(state=_COMPLETED, exit_code=0), 0),
        (Run(state=_COMPLETED), 0),
        (Run(state=_FAILED, exit_code=3), 3),
        (Run(state=_FAILED, exit_signal=9), 137),
        (Run(state=_FAILED), 10),
        (Run(state=_TERMINATED, exit_signal=9), 11),
        (Run(state=_IDLE, outcome=_COMPLETED), 0),
        (Run(state=_IDLE, outcome=_FAILED, exit_code=4), 4),
    ],
)
def test_a_followed_run_gives_its_commands_exit_code(run: Run, code: int) -> None:
    assert exit_code_of_run(run) == code


def test_a_watched_run_gives_how_it_ended() -> None:
    assert result_code(Run(state=_FAILED, exit_code=3)) == 10
