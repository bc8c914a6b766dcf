import csv
import io
import json
from pathlib import Path

import grpc
import pytest
import yaml

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID, child, outputs, parent, processes, runners
from support.example_runs import series as example_series
from support.example_runs import tasks as example_tasks
from support.scripted_server import Refused, ScriptedServer
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesResponse
from trackside_protos.runners.v1.runners_service_pb2 import ListRunnersResponse
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.runs_service_pb2 import (
    ListOutputsResponse,
    ListProcessesResponse,
    ListRunsRequest,
    ListRunsResponse,
    ListTasksResponse,
    WatchRunsRequest,
)
from trackside_protos.runs.v1.task_pb2 import TaskState
from trackside_protos.servers.v1.servers_service_pb2 import GetServerResponse, Server


@pytest.fixture(autouse=True)
def lists(server: ScriptedServer) -> None:
    server.answers["ListRuns"] = ListRunsResponse(runs=[parent(), child()])
    server.answers["ListTasks"] = ListTasksResponse(tasks=example_tasks())
    server.answers["ListProcesses"] = ListProcessesResponse(processes=processes())
    server.answers["ListSeries"] = ListSeriesResponse(series=example_series())
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=outputs())
    server.answers["ListRunners"] = ListRunnersResponse(runners=runners())


def test_runs_are_listed_for_people(command: Command) -> None:
    done = command("get", "runs")

    assert done.code == 0
    assert done.out.splitlines()[0].split() == [
        "RUN",
        "NAME",
        "STATE",
        "PROGRESS",
        "CREATED",
        "DURATION",
    ]
    assert done.out.splitlines()[1].startswith(f"{PARENT_ID}  digits sweep  RUNNING")


def test_runs_are_listed_for_programs_as_proto3_json(command: Command) -> None:
    done = command("get", "runs", "--all", "-o", "json")

    listed = json.loads(done.out)["runs"]
    assert [run["runId"] for run in listed] == [PARENT_ID, CHILD_ID]
    assert listed[1]["createTime"].endswith("Z")
    assert listed[1]["tags"] == ["digits", "quick"]
    assert listed[0]["tags"] == []


def test_yaml_says_the_same_as_json(command: Command) -> None:
    as_json = json.loads(command("get", "runs", "-o", "json").out)
    as_yaml = yaml.safe_load(command("get", "runs", "-o", "yaml").out)

    assert as_yaml == as_json


def test_every_item_may_have_a_line_of_json(command: Command) -> None:
    lines = command("get", "runs", "-o", "jsonl").out.splitlines()

    whole = json.loads(command("get", "runs", "-o", "json").out)["runs"]
    assert [json.loads(line) for line in lines] == whole


def test_a_table_for_programs_has_a_column_for_everything(command: Command) -> None:
    rows = list(csv.DictReader(io.StringIO(command("get", "runs", "-o", "csv").out)))

    assert [row["runId"] for row in rows] == [PARENT_ID, CHILD_ID]
    assert [row["isParent"] for row in rows] == ["true", "false"]
    assert [row["parameters.epsilon"] for row in rows] == ["", "0.02"]
    assert [row["tags"] for row in rows] == ["", '["digits", "quick"]']


def test_a_table_for_programs_has_its_columns_without_any_row(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["ListRuns"] = ListRunsResponse()

    lines = command("get", "runs", "-o", "csv").out.splitlines()

    assert len(lines) == 1
    assert lines[0].startswith("runId,name,owner,")


@pytest.mark.parametrize("output", ["json", "jsonl", "yaml", "csv", "name"])
def test_no_format_lets_a_name_draw_on_a_terminal(
    output: str, command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    evil = Output(path="\x1b[2J\x9b2J\u202egone")
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=[evil])

    done = command("get", "outputs", CHILD_ID, "-o", output)

    assert not set("\x1b\x9b\u202e") & set(done.out)


def test_a_table_that_does_not_fit_goes_through_the_pager(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("LINES", "2")
    monkeypatch.setenv("PAGER", f"tee {tmp_path}/paged")
    monkeypatch.setenv("TERM", "xterm")

    command("get", "runs", "--no-pager")
    command("get", "runs", "-o", "json")
    assert not (tmp_path / "paged").exists()

    done = command("get", "runs")
    assert done.out == ""
    assert CHILD_ID in (tmp_path / "paged").read_text("utf-8")


def test_runs_are_chosen_by_when_they_were_created(
    command: Command, server: ScriptedServer
) -> None:
    times = ["--since", "2026-11-21T11:00:00+01:00", "--until", "2026-11-21T12:00:00.5Z"]

    command("get", "runs", "--owner", "any", *times)

    assert server.requests["ListRuns"][0].filter == (
        'NOT parent:* AND create_time >= "2026-11-21T10:00:00Z"'
        ' AND create_time < "2026-11-21T12:00:00.500000Z"'
    )


def test_ages_are_counted_by_the_clock_of_the_server(
    command: Command, server: ScriptedServer
) -> None:
    told = GetServerResponse(server=Server(subject="ann"))
    run = child()
    told.current_time.FromSeconds(run.create_time.seconds + 200)
    server.answers["GetServer"] = told
    server.answers["ListRuns"] = ListRunsResponse(runs=[run])

    assert "3 min ago" in command("get", "runs").out


def test_names_are_one_a_line(command: Command) -> None:
    assert command("get", "runs", "-o", "name").out == f"{PARENT_ID}\n{CHILD_ID}\n"


def test_options_become_a_filter(command: Command, server: ScriptedServer) -> None:
    command("get", "runs", "--all", "--tag", "a", "--state", "FAILED", "--sort", "name desc")

    asked = server.requests["ListRuns"][0]
    assert (asked.filter, asked.order_by) == ('state = "FAILED" AND tag = "a"', "name desc")


def test_more_runs_than_asked_for_are_mentioned(command: Command) -> None:
    done = command("get", "runs", "--limit", "1")

    assert len(done.out.splitlines()) == 2
    assert done.err == "There are more than 1: --limit N shows more, --filter chooses.\n"


def test_an_empty_list_says_so_to_people_only(command: Command, server: ScriptedServer) -> None:
    server.answers["ListRuns"] = ListRunsResponse()

    people, programs = command("get", "runs"), command("get", "runs", "-o", "json")

    assert (people.out, people.err.startswith("No runs.")) == ("", True)
    assert (json.loads(programs.out), programs.err) == ({"runs": []}, "")


def test_a_filter_that_cannot_be_read_is_a_usage_error(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["ListRuns"] = Refused(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FILTER", "There is no field 'stat'."
    )

    done = command("get", "runs", "--filter", "stat = RUNNING")

    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: There is no field 'stat'.",
        "hint: `trackside help filter` explains filters",
    ]


@pytest.mark.parametrize("words", [["get", "runs"], ["watch"]])
def test_what_is_wrong_with_a_filter_is_told_of_what_was_typed(
    words: list[str], command: Command, server: ScriptedServer
) -> None:
    def refuse(asked: ListRunsRequest | WatchRunsRequest) -> Refused:
        place = len(asked.filter)
        return Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FILTER", f"At {place}.")

    server.answers["ListRuns"] = server.answers["WatchRuns"] = refuse

    done = command(*words, "--filter", 'name = "a')

    assert (done.code, done.err.splitlines()[0]) == (2, "error: At 9.")


@pytest.mark.parametrize(
    ("what", "first", "names"),
    [
        ("tasks", "TASK", [f"{CHILD_ID}/load", f"{CHILD_ID}/scale"]),
        ("processes", "PROCESS", ["load", "A:B:FIT"]),
        ("metrics", "SERIES", ["accuracy", "loss"]),
        ("outputs", "SIZE", ["model.joblib", "report.html"]),
    ],
)
def test_parts_of_a_run_are_listed(
    what: str, first: str, names: list[str], command: Command
) -> None:
    table = command("get", what, CHILD_ID)
    wide = command("get", what, CHILD_ID, "-o", "wide")
    as_json = command("get", what, CHILD_ID, "-o", "json")
    as_names = command("get", what, CHILD_ID, "-o", "name")

    assert table.out.startswith(first)
    assert len(wide.out) > len(table.out) or what == "processes"
    assert [len(listed) > 1 for listed in json.loads(as_json.out).values()] == [True]
    assert as_names.out.splitlines()[:2] == names


def test_runners_are_listed(command: Command) -> None:
    assert command("get", "runners").out.splitlines()[1].startswith("local   box     connected")
    assert command("get", "runners", "-o", "name").out == "local\nslurm\n"
    assert len(json.loads(command("get", "runners", "-o", "json").out)["runners"]) == 2


def test_tasks_are_chosen_by_state_and_process(command: Command, server: ScriptedServer) -> None:
    command("get", "tasks", CHILD_ID, "--state", "failed", "--process", "p", "--limit", "5")

    asked = server.requests["ListTasks"][0]
    assert (list(asked.states), asked.process) == ([TaskState.TASK_STATE_FAILED], "p")


@pytest.mark.parametrize(
    ("options", "filter_", "order"),
    [
        (["--sort", "duration desc"], "", "duration desc"),
        (["--search", 'FIT "4"'], '"FIT" AND "\\"4\\""', ""),
        (["--filter", "attempts > 1"], "attempts > 1", ""),
        (
            ["--filter", "host = a OR host = b", "--search", "fit", "--sort", "name"],
            'host = a OR host = b AND "fit"',
            "name",
        ),
    ],
)
def test_the_server_searches_and_sorts_tasks(
    options: list[str], filter_: str, order: str, command: Command, server: ScriptedServer
) -> None:
    command("get", "tasks", CHILD_ID, *options)

    asked = server.requests["ListTasks"][0]
    assert (asked.filter, asked.order_by) == (filter_, order)


def test_series_are_chosen_by_context_text_and_time(
    command: Command, server: ScriptedServer
) -> None:
    words = ["--context", "fold=1", "--search", "acc", "--since", "2026-01-01T00:00:00Z"]

    command("get", "metrics", CHILD_ID, *words)

    asked = server.requests["ListSeries"][0]
    assert (dict(asked.filter.context), asked.filter.text) == ({"fold": "1"}, "acc")
    assert asked.start_time.ToJsonString() == "2026-01-01T00:00:00Z"


def test_a_context_of_two_values_is_a_usage_error(command: Command) -> None:
    words = ["--context", "fold=1", "--context", "fold=2", "--context", "a=1", "--context", "a=1"]

    done = command("get", "metrics", CHILD_ID, *words)

    assert (done.code, "nothing has two values of 'fold'" in done.err) == (2, True)


def test_a_context_that_is_none_is_a_usage_error(command: Command) -> None:
    done = command("get", "metrics", CHILD_ID, "--context", "fold")

    assert (done.code, "'fold' is not KEY=VALUE" in done.err) == (2, True)


def test_no_more_tasks_than_asked_for_are_shown(command: Command) -> None:
    done = command("get", "tasks", CHILD_ID, "-o", "name", "--limit", "1")

    assert done.out.split() == [f"{CHILD_ID}/load"]


def test_a_run_that_is_not_there_is_not_found(command: Command, server: ScriptedServer) -> None:
    server.answers["ListRuns"] = ListRunsResponse()

    done = command("get", "tasks", "nothing-such")

    assert done.code == 3
    assert done.err.startswith("error: no run has the id, the beginning of an id or the name")


def test_a_server_that_is_away_is_told_in_two_lines(
    command: Command, server: ScriptedServer
) -> None:
    server.stop()

    done = command("get", "runs")

    assert (done.code, done.out) == (6, "")
    assert done.err.splitlines() == [
        f"error: no server answers at {server.address}: connection refused",
        "hint: start a server with `trackside up`, or set TRACKSIDE_SERVER to another address",
    ]


def test_another_server_is_asked_when_named(command: Command) -> None:
    done = command("get", "runs", "--server", "127.0.0.1:1")

    assert (done.code, "127.0.0.1:1" in done.err) == (6, True)


def test_a_token_that_is_refused_has_its_code(command: Command, server: ScriptedServer) -> None:
    server.answers["ListRuns"] = Refused(
        grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED", "A valid token is needed."
    )

    done = command("get", "runs", "--all")

    assert (done.code, "TRACKSIDE_TOKEN" in done.err) == (4, True)
