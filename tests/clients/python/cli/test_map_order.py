import json
from typing import cast

from google.protobuf.json_format import MessageToDict

from trackside.cli.formats import json_line, plain
from trackside.cli.map_order import order_maps
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Run

KEYS = [f"key-{number:02}" for number in range(40)]


def keys_of(told: object) -> list[str]:
    assert isinstance(told, dict)
    return list(cast("dict[str, object]", told))


def test_maps_are_in_order_at_any_depth() -> None:
    run = Run(labels=dict.fromkeys(reversed(KEYS), "x"))
    for key in reversed(KEYS):
        run.launch.environment[key] = "x"
        run.parameters[key].struct_value.update(dict.fromkeys(reversed(KEYS), 1))

    told = json.loads(json_line(plain(RunChange(run=run))))["run"]

    assert keys_of(told["labels"]) == KEYS
    assert keys_of(told["launch"]["environment"]) == KEYS
    assert keys_of(told["parameters"]) == KEYS
    assert keys_of(told["parameters"][KEYS[0]]) == KEYS


def test_maps_in_lists_are_in_order() -> None:
    run = Run()
    run.series_figures.add(context=dict.fromkeys(reversed(KEYS), "x"))

    (figure,) = json.loads(json_line(plain(run)))["seriesFigures"]

    assert keys_of(figure["context"]) == KEYS


def test_nothing_but_the_order_changes() -> None:
    run = Run(run_id="a", labels={"b": "1", "a": "2"}, tags=["z", "y"])
    run.parameters["list"].list_value.extend(["b", 3])

    document = MessageToDict(run)

    assert order_maps(MessageToDict(run), run) == document
    assert list(order_maps(MessageToDict(run), run)) == list(document)
