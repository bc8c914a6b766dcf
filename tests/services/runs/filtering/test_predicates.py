import pytest
from google.protobuf.struct_pb2 import ListValue, Value
from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import Condition, ConditionKind, RunState
from trackside_runs.filtering.grammar import parse_filter
from trackside_runs.filtering.predicates import to_predicate
from trackside_runs.filtering.runs import RUN_READERS, RUN_SCHEMA

RUN = Run(
    run_id="0123456789abcdef",
    name="Ridge [fold*] 1%",
    owner="ada",
    project="default",
    state=RunState.RUN_STATE_RUNNING,
    conditions=[Condition(kind=ConditionKind.CONDITION_KIND_STALLED)],
    workflow_name="nf-core/rnaseq",
    description="Größe",
    tags=["gpu", "nightly"],
    labels={"team": "red", "empty": ""},
    parameters={
        "epsilon": Value(number_value=0.02),
        "count": Value(number_value=3),
        "version": Value(string_value="1.10"),
        "flag": Value(bool_value=True),
        "layers": Value(list_value=ListValue(values=[Value(number_value=64)])),
        "nothing": Value(null_value=None),
    },
    create_time=Timestamp(seconds=1_772_366_400),
    exit_code=0,
)


def holds(text: str) -> bool:
    tree = parse_filter(text, RUN_SCHEMA, now_ms=1_772_366_400_000 + 3_600_000)
    return to_predicate(tree, RUN_READERS)(RUN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "state = running",
        "name = Ridge*1%",
        r'name = "Ridge [fold\*] 1%"',
        "name:rIDGE",
        "tag:gpu AND tag = night*",
        "tag != cpu",
        "label.team = red",
        'label.empty = ""',
        "label:empty",
        "parameter.epsilon = 0.02 parameter.epsilon < 0.1 parameter.count = 3",
        "parameter.version = 1.10",
        "parameter.flag = true",
        "parameter.layers = '[64]'",
        "parameter.nothing = null",
        "exit_code = 0 exit_code:* exit_code <= 0.5",
        "create_time > -2h",
        "create_time >= 2026-03-01T12:00:00Z",
        "condition = STALLED condition != killing",
        "NOT parent:*",
        "parent != *",
        "NOT end_time > 2020-01-01",
        "NOT owner != ada",
        'ridge GPU "epsilon=0.02" GRÖSSE rnaseq 0123456789',
        "nonsense OR ridge",
    ],
)
def test_a_filter_finds_the_run(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "name = ridge",
        "name = Ridge",
        "name = Ridge*2",
        "tag = GPU",
        "label.team = blue",
        "label.other != red",
        "parameter.epsilon != 0.02",
        "parameter.missing != 1",
        "parameter.epsilon = *0.2",
        "end_time < 2030-01-01",
        "exit_code != 0",
        "parent = x",
        "parent != x",
        "create_time > -30m",
        "condition != stalled",
        "nonsense",
        "ridge AND NOT gpu",
    ],
)
def test_a_filter_passes_the_run_over(text: str) -> None:
    assert not holds(text)
