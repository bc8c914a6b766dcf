import pytest

from trackside.cli.end_of_run import QUIET, EndOfRun, exit_code_of_run, result_code
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

_COMPLETED = RunState.RUN_STATE_COMPLETED
_FAILED = RunState.RUN_STATE_FAILED
_TERMINATED = RunState.RUN_STATE_TERMINATED
_IDLE = RunState.RUN_STATE_IDLE


def test_a_run_at_work_is_not_over() -> None:
    end = EndOfRun()
    end.listened(QUIET, had_news=False)

    assert not end.is_over(Run(state=RunState.RUN_STATE_RUNNING), told_all=False)


def test_an_ended_run_is_over_as_soon_as_all_was_told() -> None:
    end = EndOfRun()
    sealed = Run(state=_FAILED, sealed=True)

    assert [end.is_over(sealed, told_all=told) for told in (False, True)] == [False, True]


def test_an_ended_run_is_over_when_it_is_quiet() -> None:
    end = EndOfRun()

    end.listened(QUIET, had_news=False)
    end.listened(QUIET, had_news=True)
    at_news = end.is_over(Run(state=_FAILED), told_all=False)
    end.listened(QUIET, had_news=False)

    assert [at_news, end.is_over(Run(state=_FAILED), told_all=False)] == [False, True]


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (Run(state=_COMPLETED, exit_code=0), 0),
        (Run(state=_COMPLETED), 0),
        (Run(state=_FAILED, exit_code=3), 3),
        (Run(state=_FAILED, exit_signal=9), 137),
        (Run(state=_FAILED), 10),
        (Run(state=_FAILED, exit_code=0), 10),
        (Run(state=_TERMINATED, exit_signal=9), 11),
        (Run(state=_IDLE, outcome=_COMPLETED), 0),
        (Run(state=_IDLE, outcome=_FAILED, exit_code=4), 4),
    ],
)
def test_a_followed_run_gives_its_commands_exit_code(run: Run, code: int) -> None:
    assert exit_code_of_run(run) == code


def test_a_watched_run_gives_how_it_ended() -> None:
    assert result_code(Run(state=_FAILED, exit_code=3)) == 10
