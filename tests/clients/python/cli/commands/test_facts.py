import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID
from support.full_messages import full
from support.scripted_server import ScriptedServer
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesResponse
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runners.v1.runners_service_pb2 import ListRunnersResponse, Runner
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import (
    GetRunRequest,
    GetRunResponse,
    GetTaskResponse,
    ListOutputsResponse,
    ListProcessesResponse,
    ListRunsResponse,
    ListTasksResponse,
)
from trackside_protos.runs.v1.task_pb2 import Process, Task


def run_with_everything(run_id: str = CHILD_ID, *, is_parent: bool = False) -> Run:
    run = full(Run)
    run.run_id, run.parent_run_id, run.is_parent = run_id, PARENT_ID, is_parent
    return run


@dataclass(frozen=True)
class List:
    words: Sequence[str]
    name: str
    item: Message
    method: str
    answer: Callable[[Any], Message]


LISTS = [
    List(
        ["runs"],
        "runs",
        run_with_everything(is_parent=True),
        "ListRuns",
        lambda i: ListRunsResponse(runs=[i]),
    ),
    List(
        ["tasks", CHILD_ID],
        "tasks",
        full(Task),
        "ListTasks",
        lambda i: ListTasksResponse(tasks=[i]),
    ),
    List(
        ["processes", CHILD_ID],
        "processes",
        full(Process),
        "ListProcesses",
        lambda i: ListProcessesResponse(processes=[i]),
    ),
    List(
        ["metrics", CHILD_ID],
        "series",
        full(Series),
        "ListSeries",
        lambda i: ListSeriesResponse(series=[i]),
    ),
    List(
        ["outputs", CHILD_ID],
        "outputs",
        full(Output),
        "ListOutputs",
        lambda i: ListOutputsResponse(outputs=[i]),
    ),
    List(
        ["runners"],
        "runners",
        full(Runner),
        "ListRunners",
        lambda i: ListRunnersResponse(runners=[i]),
    ),
]
lists = pytest.mark.parametrize("asked", LISTS, ids=[one.words[0] for one in LISTS])


def read_back(document: Any, kind: type[Message]) -> Message:
    """Return the message that a document stands for; a fact that no message has is an error."""
    return ParseDict(document, kind())


def listed(command: Command, server: ScriptedServer, asked: List, output: str) -> str:
    server.answers[asked.method] = asked.answer(asked.item)
    done = command("get", *asked.words, "-o", output)
    assert (done.code, done.err) == (0, "")
    return done.out


@lists
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_list_has_every_fact_of_the_api_and_no_other(
    asked: List, output: str, command: Command, server: ScriptedServer
) -> None:
    document = yaml.safe_load(listed(command, server, asked, output))

    assert list(document) == [asked.name]
    assert [read_back(item, type(asked.item)) for item in document[asked.name]] == [asked.item]


@lists
def test_a_line_has_every_fact_of_the_api_and_no_other(
    asked: List, command: Command, server: ScriptedServer
) -> None:
    (line,) = listed(command, server, asked, "jsonl").splitlines()

    assert read_back(json.loads(line), type(asked.item)) == asked.item


@lists
def test_a_row_has_every_fact_of_the_api_and_no_other(
    asked: List, command: Command, server: ScriptedServer
) -> None:
    (row,) = csv.DictReader(io.StringIO(listed(command, server, asked, "csv"), newline=""))

    assert {name: text for name, text in row.items() if text} == leaves(MessageToDict(asked.item))


def leaves(document: Mapping[str, Any], beneath: str = "") -> dict[str, str]:
    """Return what a row says of a document: `outer.inner`, and lists as JSON."""
    found: dict[str, str] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{beneath}{name}.")  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, (list, bool)):
            found[beneath + name] = json.dumps(value, ensure_ascii=False)
        else:
            found[beneath + name] = str(value)
    return found


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_described_run_has_every_fact_of_the_api_and_no_other(
    output: str, command: Command, server: ScriptedServer
) -> None:
    known = {CHILD_ID: run_with_everything(), PARENT_ID: run_with_everything(PARENT_ID)}

    def known_run(request: GetRunRequest) -> GetRunResponse:
        return GetRunResponse(run=known[request.run_id])

    server.answers["GetRun"] = known_run
    server.answers["ListLogs"] = ListLogsResponse(blocks=[full(LogBlock)])
    server.answers.update({one.method: one.answer(one.item) for one in LISTS})

    done = command("describe", CHILD_ID, "-o", output)
    document = yaml.safe_load(done.out)

    assert (done.code, done.err) == (0, "")
    assert read_back(document.pop("run"), Run) == known[CHILD_ID]
    assert read_back(document.pop("parent"), Run) == known[PARENT_ID]
    for one in LISTS[1:5]:
        assert [read_back(item, type(one.item)) for item in document.pop(one.name)] == [one.item]
    assert document.pop("children") == []
    assert list(document) == ["log"]


def test_a_described_parent_has_every_fact_of_its_children(
    command: Command, server: ScriptedServer
) -> None:
    parent = run_with_everything(PARENT_ID, is_parent=True)
    parent.parent_run_id = ""
    child = run_with_everything()
    server.answers["GetRun"] = GetRunResponse(run=parent)
    server.answers["ListRuns"] = ListRunsResponse(runs=[child])
    for method, nothing in {
        "ListSeries": ListSeriesResponse(),
        "ListOutputs": ListOutputsResponse(),
        "ListLogs": ListLogsResponse(),
    }.items():
        server.answers[method] = nothing

    document = json.loads(command("describe", PARENT_ID, "-o", "json").out)

    assert read_back(document["run"], Run) == parent
    assert [read_back(item, Run) for item in document["children"]] == [child]


def test_a_described_task_has_every_fact_of_the_api_and_no_other(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["GetTask"] = GetTaskResponse(task=full(Task))

    document = json.loads(command("describe", f"{CHILD_ID}/any", "-o", "json").out)

    assert read_back(document.pop("task"), Task) == full(Task)
    assert document == {}
