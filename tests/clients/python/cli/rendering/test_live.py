from support.example_runs import (
    CHILD_ID,
    child,
    failed_child,
    log_block,
    parent,
    series,
    tasks,
)
from trackside.cli.live_model import LiveModel, Received
from trackside.cli.paint import Paint
from trackside.cli.rendering.live import list_lines, live_lines
from trackside.cli.tables import width_of
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunsResponse
from trackside_protos.runs.v1.scope_pb2 import Scope
from trackside_protos.runs.v1.task_pb2 import Task, TaskState

_PLAIN = Paint()
_SCREEN = (100, 30)


def _sweep() -> LiveModel:
    model = LiveModel(parent(), 0.0)
    model.take("children", WatchRunsResponse(present=[failed_child(), child()]), 0.0)
    return model


def test_a_sweep_shows_its_children_those_at_work_first() -> None:
    lines = live_lines(_sweep(), 5.0, _PLAIN, _SCREEN)

    assert lines == [
        "digits sweep  RUNNING  9xk2v7c4m1q8e3t6  ann  3 min 15 s",
        "############------------------ 12/30 ended, 40%, ~2 min left",
        "",
        "CHILD         STATE    DURATION    TASKS    BEST",
        "epsilon=0.02  RUNNING  1 min 10 s  3/5 60%  0.981  Fitting fold 3/5 - SVC",
        "epsilon=0.5   FAILED   12 s",
    ]


def test_lines_of_children_say_whose_they_are() -> None:
    model = _sweep()
    model.take(CHILD_ID, WatchLogsResponse(blocks=[log_block()]), 0.0)

    assert live_lines(model, 5.0, _PLAIN, _SCREEN)[-3].endswith("epsilon=0.02 fold 2 done")


def test_a_run_shows_nodes_scores_and_the_latest_lines() -> None:
    model = LiveModel(child(), 0.0)
    model.view.tasks.update({task.task_id: task for task in tasks()})
    model.series = series()
    model.take(CHILD_ID, WatchLogsResponse(blocks=[log_block()]), 0.0)

    text = "\n".join(live_lines(model, 5.0, _PLAIN, _SCREEN))

    assert "60%, ~43 s left Fitting fold 3/5 - SVC\nResult: best accuracy 0.981\n" in text
    assert "fit fold 3   RUNNING    25 s …\nload digits  CACHED     <cache hit>\n" in text
    assert "accuracy  fold=3   0.975  0.981" in text
    assert text.endswith("hello")


def test_an_outage_is_shown() -> None:
    model = LiveModel(child(), 0.0)
    model.away = "no server answers at box:8750: connection refused"

    assert "! reconnecting: no server answers at box:8750: connection refused" in live_lines(
        model, 0.0, _PLAIN, _SCREEN
    )


def test_the_innermost_scope_is_shown_when_the_run_says_nothing() -> None:
    run = Run(run_id="r", name="n")
    model = LiveModel(run, 0.0)
    model.view.scopes.update(
        {
            "variant": Scope(path="variant", completed_count=2, total_count=30),
            "variant/fold": Scope(path="variant/fold", completed_count=3, total_count=5),
        }
    )

    assert live_lines(model, 0.0, _PLAIN, _SCREEN)[1] == "variant/fold 3/5"


def test_a_page_fits_its_screen_whatever_there_is() -> None:
    model = _sweep()
    many = [Run(run_id=f"{number:016}", name=f"x={number}") for number in range(500)]
    model.take("children", WatchRunsResponse(present=many), 0.0)
    block = LogBlock(first_sequence=1, entries=[LogEntry(message="line")] * 500)
    model.take(CHILD_ID, WatchLogsResponse(blocks=[block]), 0.0)

    for height in (5, 10, 24, 60):
        lines = live_lines(model, 5.0, _PLAIN, (80, height))
        assert len(lines) <= height


def test_nodes_beyond_the_screen_are_counted() -> None:
    model = LiveModel(child(), 0.0)
    state = TaskState.TASK_STATE_SUCCEEDED
    model.view.tasks.update({str(n): Task(task_id=str(n), state=state) for n in range(100)})

    lines = live_lines(model, 0.0, _PLAIN, (80, 20))

    assert lines[-1].startswith("… and ")
    assert len(lines) <= 20


def test_a_list_shows_the_newest_runs_that_fit() -> None:
    runs = [Received(child(), 0.0), Received(parent(), 0.0)]

    lines = list_lines(runs, 5.0, _PLAIN, (80, 24))

    assert lines[1].startswith(CHILD_ID)
    assert "1 min 10 s" in lines[1]
    assert all(width_of(line) <= 80 for line in lines)


def test_an_empty_list_says_so() -> None:
    assert list_lines([], 0.0, _PLAIN, (80, 24)) == ["No runs yet."]
