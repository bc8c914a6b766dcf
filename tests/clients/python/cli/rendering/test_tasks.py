from support.example_runs import NOW, processes, tasks
from trackside.cli.paint import Paint
from trackside.cli.rendering.tasks import (
    node_table,
    process_table,
    task_page,
    task_state_text,
    task_table,
)
from trackside_protos.runs.v1.task_pb2 import Task, TaskState, TaskWait

_PLAIN = Paint()


def test_nodes_show_durations_a_running_one_counting_or_the_cache_hit() -> None:
    assert node_table(tasks(), _PLAIN, since_received=5.0) == [
        "NODE         STATE      DURATION",
        "load digits  CACHED     <cache hit>",
        "scale        SUCCEEDED  1.2 s",
        "fit fold 3   RUNNING    25 s …",
        "fit fold 4   PENDING",
    ]


def test_a_waiting_task_says_what_for() -> None:
    task = Task(state=TaskState.TASK_STATE_PENDING, wait=TaskWait.TASK_WAIT_COMPUTE)

    assert task_state_text(task, _PLAIN).text == "PENDING (COMPUTE)"


def test_a_list_of_tasks_shows_attempts() -> None:
    assert task_table(tasks(), NOW, _PLAIN)[2] == "scale  scale        SUCCEEDED  1.2 s        2"


def test_a_wide_list_of_tasks_has_more_columns() -> None:
    assert "MACHINE" in task_table(tasks(), NOW, _PLAIN, wide=True)[0]


def test_processes_are_counted_by_state() -> None:
    lines = process_table(processes(), _PLAIN)

    assert lines[2].split() == ["B:FIT", "3", "-", "-", "1", "-", "-", "2", "-", "-", "40", "s"]


def test_full_names_of_processes_are_shown_when_wide() -> None:
    assert process_table(processes(), _PLAIN, wide=True)[2].startswith("A:B:FIT")


def test_a_page_about_a_task_shows_attempts_and_script() -> None:
    task = tasks()[1]
    task.script = "echo hello\nexit 1"

    page = "\n".join(task_page("7k2m", task, NOW, _PLAIN))

    assert page.startswith("Task scale of run 7k2m\n")
    assert "no memory" in page
    assert "2 cpus" in page
    assert page.endswith("Script\n  echo hello\n  exit 1")
