import pytest
from google.protobuf.struct_pb2 import Value

from trackside_protos.runs.v1.provenance_pb2 import Provenance
from trackside_protos.runs.v1.run_pb2 import Launch, Run, Sweep, SweepAxis
from trackside_runs.naming import (
    UnknownKeyError,
    child_name,
    command_name,
    default_name,
    expand,
    grid_size,
    substituted,
)


def number(value: float) -> Value:
    return Value(number_value=value)


def word(value: str) -> Value:
    return Value(string_value=value)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "train.py", "--alpha", "1"], "train.py"),
        (["/usr/bin/python3.11", "-u", "src/train.py"], "train.py"),
        (["python", "-m", "package.train", "x"], "package.train"),
        (["python", "-c", "print(1)"], "python"),
        (["./simulate", "input"], "simulate"),
        (["env", "A=1", "bash", "run.sh"], "run.sh"),
        (["bash"], "bash"),
        (["python", "-m"], ""),
        ([], ""),
        (["a\x1b[1mb"], "a [1mb"),
    ],
)
def test_a_command_is_named_after_what_it_runs(command: list[str], name: str) -> None:
    assert command_name(command) == name


def test_a_run_is_named_after_its_command_or_workflow() -> None:
    assert default_name(Run(launch=Launch(command=["a/b"]))) == "b"
    assert default_name(Run(provenance=Provenance(command=["c.py"]))) == "c.py"
    assert default_name(Run(workflow_name="nf-core/rnaseq")) == "nf-core/rnaseq"
    assert default_name(Run()) == "run"


def test_a_child_is_named_after_its_parameters() -> None:
    parameters = {"epsilon": number(0.02), "depth": number(3), "model": word("ridge")}

    assert child_name(parameters) == "epsilon=0.02, depth=3, model=ridge"
    child = Run(parent_run_id="0" * 16, parameters={"epsilon": number(0.02)})
    assert default_name(child) == "epsilon=0.02"


def test_long_names_are_cut() -> None:
    name = child_name({f"key{n}": word("x" * 100) for n in range(10)})

    assert len(name) == 256
    assert name.endswith("…")


def test_a_grid_is_the_product_with_the_last_axis_fastest() -> None:
    sweep = Sweep(
        axes=[
            SweepAxis(key="a", values=[number(1), number(2)]),
            SweepAxis(key="b", values=[word("x"), word("y")]),
        ]
    )

    names = [child_name(parameters) for parameters in expand(sweep)]

    assert names == ["a=1, b=x", "a=1, b=y", "a=2, b=x", "a=2, b=y"]
    assert grid_size(sweep) == 4


def test_without_axes_there_are_no_children() -> None:
    assert list(expand(Sweep())) == []
    assert grid_size(Sweep()) == 0


def test_parameters_stand_where_a_command_names_them() -> None:
    launch = Launch(
        command=["train", "--lr={lr}", "{a.b}", "{{lr}}", "${HOME}", "{}", "{print $1}"],
        work_directory="{lr}",
    )

    filled = substituted(launch, {"lr": number(0.1), "a.b": word("{lr}")})

    assert list(filled.command) == [
        "train",
        "--lr=0.1",
        "{lr}",
        "{lr}",
        "${HOME}",
        "{}",
        "{print $1}",
    ]
    assert filled.work_directory == "{lr}"


def test_a_command_without_parameters_is_taken_as_it_is() -> None:
    launch = Launch(command=["python", "-c", "print(f'{x} {{y}}')"])

    assert substituted(launch, {}) == launch


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(UnknownKeyError, match=r"no parameter beta; write \{\{beta\}\}") as caught:
        substituted(Launch(command=["train", "{beta}"]), {"alpha": number(1)})

    assert (caught.value.key, caught.value.index) == ("beta", 1)
