from datetime import timedelta

import pytest

from trackside.cli.order import Order, Shell
from trackside.cli.parameters import AssignmentError, value_text
from trackside_protos.runs.v1.run_pb2 import Run

_SHELL = Shell("/home/ann", {"PATH": "/venv/bin", "HOME": "/home/ann", "SECRET": "x"})


def _ordered(shell: Shell | None = _SHELL, **options: object) -> Run:
    order = Order(command=("python", "fit.py"), **options)  # pyright: ignore[reportArgumentType]
    return order.to_run("0123456789abcdef", shell)


def test_a_command_starts_where_it_was_typed() -> None:
    run = _ordered()

    assert run.run_id == "0123456789abcdef"
    assert list(run.launch.command) == ["python", "fit.py"]
    assert run.launch.work_directory == "/home/ann"
    assert run.runner == "local"
    assert not run.is_parent


def test_only_what_finds_programs_is_taken_along() -> None:
    run = _ordered(environment=("A=1",))

    assert dict(run.launch.environment) == {"PATH": "/venv/bin", "A": "1"}


def test_another_machine_gets_nothing_of_this_shell() -> None:
    run = _ordered(shell=None)

    assert run.launch.work_directory == ""
    assert not run.launch.environment
    assert _ordered(shell=None, workdir="/data").launch.work_directory == "/data"


def test_what_is_said_goes_before_what_is_found() -> None:
    run = _ordered(environment=("PATH=/bin",))

    assert run.launch.environment["PATH"] == "/bin"


def test_variables_of_files_stand_between_the_shells_and_those_that_were_said() -> None:
    run = _ordered(environment=("A=1",), from_files={"A": "0", "B": "2", "PATH": "/bin"})

    assert dict(run.launch.environment) == {"PATH": "/bin", "A": "1", "B": "2"}


def test_limits_and_machine_type_are_the_launchs() -> None:
    run = _ordered(time_limit=timedelta(hours=1), memory_limit=2_000_000_000, machine_type="big")

    assert run.launch.time_limit_duration.seconds == 3600
    assert run.launch.memory_limit_bytes == 2_000_000_000
    assert run.launch.machine_type == "big"


def test_without_limits_none_is_set() -> None:
    launch = _ordered().launch

    assert not launch.HasField("time_limit_duration")
    assert not launch.HasField("memory_limit_bytes")


def test_names_tags_labels_and_parameters_are_the_runs() -> None:
    run = _ordered(
        name="n",
        project="p",
        tags=("t",),
        labels=("team=pit",),
        parameters=("alpha=0.1",),
        protect=True,
    )

    assert (run.name, run.project, list(run.tags)) == ("n", "p", ["t"])
    assert dict(run.labels) == {"team": "pit"}
    assert value_text(run.parameters["alpha"]) == "0.1"
    assert run.termination_protection


def test_axes_make_a_parent_that_is_closed_after_its_grid() -> None:
    run = _ordered(axes=("a=1,2", "b=x,y"), parallelism=4)

    assert run.is_parent
    assert [axis.key for axis in run.sweep.axes] == ["a", "b"]
    assert run.sweep.parallelism == 4
    assert run.sweep.close_after_grid


def test_an_assignment_that_is_none_is_refused() -> None:
    with pytest.raises(AssignmentError):
        _ordered(axes=("alpha",))
