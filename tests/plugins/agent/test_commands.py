"""Parameters in commands."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from trackside_agent.commands import fill, json_of


@pytest.mark.parametrize(
    ("argument", "filled"),
    [
        ("{epsilon}", "0.02"),
        ("--epsilon={epsilon}", "--epsilon=0.02"),
        ("{epsilon}{folds}", "0.025"),
        ("{name}", "a b; {epsilon}"),
        ("{flag} {nothing} {list}", 'true null ["é", 1]'),
        ("{map}", '{"a": {"z": 2, "é": 3}, "b": 1}'),
        ("{unknown}", "{unknown}"),
        ("{}", "{}"),
        ("{print $1}", "{print $1}"),
        ("{{epsilon}}", "{0.02}"),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_parameters_are_put_where_their_names_stand(argument: str, filled: str) -> None:
    parameters: dict[str, Any] = {
        "epsilon": 0.02,
        "folds": 5,
        "name": "a b; {epsilon}",
        "flag": True,
        "nothing": None,
        "list": ["é", 1],
        "map": {"b": 1, "a": {"é": 3, "z": 2}},
    }

    assert fill([argument], parameters) == [filled]


@pytest.mark.parametrize(
    "value", [None, True, False, 0, -5, 0.5, 1e300, "", "text", [1, "a", None], {"a": {"b": [2]}}]
)
def test_values_of_the_wire_come_back(value: Any) -> None:
    assert json_of(ParseDict(value, Value())) == value


def test_whole_numbers_are_integers() -> None:
    assert repr(json_of(Value(number_value=5.0))) == "5"
