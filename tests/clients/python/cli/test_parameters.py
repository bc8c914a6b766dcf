import pytest
from google.protobuf.struct_pb2 import ListValue, Value

from trackside.cli.parameters import (
    AssignmentError,
    assignments,
    axis_of,
    child_label,
    in_grid_order,
    parameters_text,
    value_of,
    value_text,
    varying_keys,
)
from trackside_protos.runs.v1.run_pb2 import Run, Sweep, SweepAxis


@pytest.mark.parametrize(
    ("typed", "kind", "shown"),
    [
        ("0.02", "number_value", "0.02"),
        ("3", "number_value", "3"),
        ("1e-3", "number_value", "0.001"),
        ("ridge", "string_value", "ridge"),
        ("007", "string_value", "007"),
        ("[2.5, [3]]", "list_value", "[2.5, [3]]"),
        ('{"ü": {"n": 7, "on": true}}', "struct_value", '{"ü": {"n": 7, "on": true}}'),
        ("", "string_value", ""),
        ("true", "bool_value", "true"),
        ("null", "null_value", "null"),
        ("[1, 2]", "list_value", "[1, 2]"),
        ('"3"', "string_value", "3"),
        ("NaN", "string_value", "NaN"),
        ("\x1b[1m", "string_value", "\\x1b[1m"),
    ],
)
def test_what_is_typed_is_read_as_what_it_looks_like(typed: str, kind: str, shown: str) -> None:
    value = value_of(typed)

    assert value.WhichOneof("kind") == kind
    assert value_text(value) == shown


def test_the_last_assignment_of_a_key_counts() -> None:
    assert assignments(["a=1", "b=x=y", "a=2"]) == {"a": "2", "b": "x=y"}


@pytest.mark.parametrize("text", ["a", "=1", " =1", ""])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(AssignmentError, match="not KEY=VALUE"):
        assignments([text])


def test_an_axis_is_a_list_of_values() -> None:
    axis = axis_of("alpha=0.1,1,ridge")

    assert axis.key == "alpha"
    assert [value_text(value) for value in axis.values] == ["0.1", "1", "ridge"]


def _child(**parameters: float) -> Run:
    return Run(
        run_id="c",
        name="its name",
        parameters={key: Value(number_value=number) for key, number in parameters.items()},
    )


def test_children_are_named_by_the_axes_of_their_sweep() -> None:
    parent = Run(sweep=Sweep(axes=[SweepAxis(key="epsilon")]))

    keys = varying_keys(parent, [])

    assert child_label(_child(alpha=1, epsilon=0.02), keys) == "epsilon=0.02"


def test_children_that_were_made_together_stand_in_the_order_of_the_grid() -> None:
    parent = Run(sweep=Sweep(axes=[axis_of("a=2,1"), axis_of("b=1,2")]))
    grid = [_child(a=2, b=1), _child(a=2, b=2), _child(a=1, b=1), _child(a=1, b=2)]

    assert in_grid_order(parent, reversed(grid)) == grid


def test_children_without_a_sweep_are_named_by_what_differs() -> None:
    children = [_child(alpha=1, beta=2), _child(alpha=1, beta=3)]

    assert varying_keys(Run(), children) == ["beta"]


def test_a_child_without_such_parameters_keeps_its_name() -> None:
    assert child_label(_child(alpha=1), ["beta"]) == "its name"


def test_parameters_are_shown_in_order_of_key() -> None:
    listed = Value(list_value=ListValue())

    assert parameters_text({"b": Value(number_value=1), "a": listed}) == "a=[] b=1"
