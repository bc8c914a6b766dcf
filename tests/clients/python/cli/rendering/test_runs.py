import pytest

from support.example_runs import NOW, child, failed_child, parent
from trackside.cli.paint import Paint
from trackside.cli.rendering.runs import best_text, duration_text, exit_text, run_table, state_text
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import Condition, ConditionKind, RunState

_PLAIN = Paint()


def test_a_list_has_a_line_for_each_run() -> None:
    lines = run_table([parent(), child(), failed_child()], NOW, _PLAIN, width=86)

    assert lines == [
        "RUN               NAME          STATE    PROGRESS                CREATED    DURATION",
        "9xk2v7c4m1q8e3t6  digits sweep  RUNNING  12/30 ended, 40%, ~2 …  3 min ago  3 min 10 s",
        "7k2m9p0qabcdefgh  epsilon=0.02  RUNNING  60%, ~43 s left         3 min ago  1 min 5 s",
        "3fh5n8r2w6y1d4jz  epsilon=0.5   FAILED                           3 min ago  12 s",
    ]


def test_a_wide_list_has_more_columns_and_cuts_nothing() -> None:
    lines = run_table([child()], NOW, _PLAIN, wide=True, width=20)

    assert "OWNER" in lines[0]
    assert "digits,quick" in lines[1]


@pytest.mark.parametrize("width", [80, 100])
def test_a_list_fits_its_screen(width: int) -> None:
    run = child()
    run.name = "x" * 300

    assert all(len(line) <= width for line in run_table([run], NOW, _PLAIN, width=width))


def test_names_are_harmless() -> None:
    run = Run(run_id="r", name="\x1b[2J\nFAILED")

    assert "\\x1b[2J\\nFAILED" in run_table([run], NOW, _PLAIN)[1]


def test_conditions_stand_beside_the_state() -> None:
    run = child()
    run.conditions.append(Condition(kind=ConditionKind.CONDITION_KIND_DISCONNECTED))

    assert state_text(run, _PLAIN).text == "RUNNING (DISCONNECTED)"


def test_an_idle_run_shows_its_outcome() -> None:
    run = Run(state=RunState.RUN_STATE_IDLE, outcome=RunState.RUN_STATE_COMPLETED)

    assert state_text(run, _PLAIN).text == "IDLE (COMPLETED)"


def test_a_duration_counts_on_while_the_run_works() -> None:
    assert duration_text(child(), since_received=10.0) == "1 min 15 s"
    assert duration_text(failed_child(), since_received=10.0) == "12 s"
    assert duration_text(Run()) == ""


def test_the_best_of_a_runs_own_series_is_told() -> None:
    run = Run()
    for key in ("a", "b", "c\x1b[2J", "d"):
        run.series_figures.add(key=key, best=0.5)
    run.series_figures.add(key="folds", best=1, context={"fold": "1"})
    run.series_figures.add(key="system/memory", best=1)
    run.series_figures[0].ClearField("best")

    assert best_text(run) == "b=0.5, c\\x1b[2J=0.5, d=0.5"
    run.series_figures[0].best = 2
    assert best_text(run) == "a=2, b=0.5, c\\x1b[2J=0.5, …"


def test_a_signal_is_told_from_an_exit_code() -> None:
    assert [exit_text(Run(exit_signal=9)), exit_text(Run(exit_code=0)), exit_text(Run())] == [
        "signal 9",
        "0",
        "",
    ]
