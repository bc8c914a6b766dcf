"""What a filter may name in a run, and how it is read from the message."""

from collections.abc import Iterable
from typing import Final, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import ConditionKind, RunState
from trackside_runs.filtering.parameters import parameter_number, parameter_text
from trackside_runs.filtering.predicates import Reader, Readers
from trackside_runs.filtering.schema import Field, Kind, Schema
from trackside_runs.filtering.search_text import search_text
from trackside_runs.filtering.tree import Value

_STATES: Final = {
    name.removeprefix("RUN_STATE_"): int(number) for name, number in RunState.items() if number
}
_CONDITIONS: Final = {
    name.removeprefix("CONDITION_KIND_"): int(number)
    for name, number in ConditionKind.items()
    if number
}

RUN_SCHEMA: Final = Schema.of(
    Field("run_id", Kind.TEXT),
    Field("name", Kind.TEXT),
    Field("owner", Kind.TEXT),
    Field("project", Kind.TEXT),
    Field("state", Kind.CHOICE, _STATES),
    Field("condition", Kind.CHOICES, _CONDITIONS),
    Field("tag", Kind.WORDS),
    Field("label", Kind.KEYED_TEXT),
    Field("parameter", Kind.KEYED_VALUE),
    Field("parent", Kind.TEXT),
    Field("runner", Kind.TEXT),
    Field("workflow", Kind.TEXT),
    Field("external_key", Kind.TEXT),
    Field("create_time", Kind.TIME),
    Field("start_time", Kind.TIME),
    Field("end_time", Kind.TIME),
    Field("exit_code", Kind.NUMBER),
    Field("last", Kind.KEYED_NUMBER),
    Field("best", Kind.KEYED_NUMBER),
)
"""The fields of `ListRunsRequest.filter`."""


def milliseconds(time: Timestamp) -> int:
    """Return a time in milliseconds since 1970, rounded down; 0 if it is not set."""
    return time.seconds * 1000 + time.nanos // 1_000_000


def _text(field: str) -> Reader[Run]:
    def read(run: Run, _key: str) -> Iterable[Value]:
        text: str = getattr(run, field)
        return (text,) if text else ()

    return read


def _time(field: str) -> Reader[Run]:
    def read(run: Run, _key: str) -> Iterable[Value]:
        moment = milliseconds(getattr(run, field))
        return (moment,) if moment else ()

    return read


def _label(run: Run, key: str) -> Iterable[Value]:
    return (run.labels[key],) if key in run.labels else ()


def _parameter(run: Run, key: str) -> Iterable[Value]:
    if key not in run.parameters:
        return ()
    text, number = parameter_text(run.parameters[key]), parameter_number(run.parameters[key])
    return (text,) if number is None else (text, number)


def _figure(name: Literal["last", "best"]) -> Reader[Run]:
    def read(run: Run, key: str) -> Iterable[Value]:
        figures = [figure for figure in run.series_figures if figure.key == key]
        return [getattr(figure, name) for figure in figures if figure.HasField(name)]

    return read


RUN_READERS: Final[Readers[Run]] = Readers(
    fields={
        "run_id": _text("run_id"),
        "name": _text("name"),
        "owner": _text("owner"),
        "project": _text("project"),
        "state": lambda run, _key: (int(run.state),),
        "condition": lambda run, _key: [int(condition.kind) for condition in run.conditions],
        "tag": lambda run, _key: run.tags,
        "label": _label,
        "parameter": _parameter,
        "parent": _text("parent_run_id"),
        "runner": _text("runner"),
        "workflow": _text("workflow_name"),
        "external_key": _text("external_key"),
        "create_time": _time("create_time"),
        "start_time": _time("start_time"),
        "end_time": _time("end_time"),
        "exit_code": lambda run, _key: (run.exit_code,) if run.HasField("exit_code") else (),
        "last": _figure("last"),
        "best": _figure("best"),
    },
    search_text=search_text,
)
"""How the same fields are read from a run."""
