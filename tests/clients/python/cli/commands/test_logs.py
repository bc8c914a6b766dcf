import io
import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID, at, log_block, tasks
from support.scripted_server import Refused, ScriptedServer
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry, LogLevel
from trackside_protos.logs.v1.logs_service_pb2 import (
    ListLogsRequest,
    ListLogsResponse,
    WatchLogsResponse,
)
from trackside_protos.runs.v1.runs_service_pb2 import GetTaskResponse, ListTasksResponse
from trackside_protos.runs.v1.task_pb2 import Task
from trackside_protos.servers.v1.servers_service_pb2 import GetServerResponse, Server
from trackside_protos.watches.v1.watch_start_pb2 import WatchPosition


@pytest.fixture(autouse=True)
def log(server: ScriptedServer) -> None:
    server.answers["ListLogs"] = ListLogsResponse(blocks=[log_block()])
    server.answers["WatchLogs"] = [WatchLogsResponse(blocks=[log_block()], cursor="c")]


def test_a_log_is_shown_with_escapes_written_out(command: Command) -> None:
    assert command("logs", CHILD_ID).out == (
        "fold 2 done\nWARNING  [fold=3] slow to converge\n\\x1b]0;owned\\x07\\x1b[2Jhello\n"
    )


def test_a_followed_log_begins_at_the_beginning(command: Command, server: ScriptedServer) -> None:
    done = command("logs", "-f", CHILD_ID)

    assert done.code == 0
    assert done.out.startswith("fold 2 done\n")
    start = server.requests["WatchLogs"][0].start
    assert start.position == WatchPosition.WATCH_POSITION_BEGINNING


def test_a_followed_log_may_begin_with_the_last_lines(
    command: Command, server: ScriptedServer
) -> None:
    command("logs", "-f", "--tail", "7", CHILD_ID)

    assert server.requests["WatchLogs"][0].start.last == 7


def test_options_choose_lines(command: Command, server: ScriptedServer) -> None:
    server.answers["GetTask"] = GetTaskResponse(task=Task(task_id="t"))
    options = [
        "--tail",
        "3",
        "--level",
        "error",
        "--stream",
        "stderr",
        "--task",
        "t",
        "--grep",
        "x",
    ]

    command("logs", CHILD_ID, *options)

    asked = server.requests["ListLogs"][0]
    assert asked.last == 3
    assert list(asked.filter.levels) == [LogLevel.LOG_LEVEL_ERROR, LogLevel.LOG_LEVEL_CRITICAL]
    assert (list(asked.filter.streams), asked.filter.task_id) == (["stderr"], "t")
    assert asked.filter.text == "x"


def test_lines_are_chosen_by_the_name_of_a_task(command: Command, server: ScriptedServer) -> None:
    fit = tasks()[0]
    missing = Refused(grpc.StatusCode.NOT_FOUND, "PART_NOT_FOUND", "There is no such task.")
    server.answers["ListTasks"] = ListTasksResponse(tasks=tasks())
    server.answers["GetTask"] = lambda asked: (
        GetTaskResponse(task=fit) if asked.task_id == fit.task_id else missing
    )

    command("logs", CHILD_ID, "--task", fit.name)
    unknown = command("logs", CHILD_ID, "--task", "nothing")

    (asked,) = server.requests["ListLogs"]
    assert asked.filter.task_id == fit.task_id
    assert (unknown.code, unknown.err.splitlines()[0]) == (3, "error: There is no such task.")


def test_lines_are_chosen_by_time_and_context(command: Command, server: ScriptedServer) -> None:
    times = ["--since", "2026-11-21T11:00:00Z", "--until", "2026-11-21T12:00:00Z"]

    command("logs", CHILD_ID, *times, "--context", "fold=3", "--context", "branch=a")

    chosen = server.requests["ListLogs"][0].filter
    assert chosen.start_time == at(3600)
    assert chosen.end_time == at(0)
    assert dict(chosen.context) == {"fold": "3", "branch": "a"}


def test_a_time_may_be_as_long_ago(command: Command, server: ScriptedServer) -> None:
    told = GetServerResponse(server=Server())
    told.current_time.FromDatetime(datetime.now(UTC) + timedelta(days=3))
    server.answers["GetServer"] = told

    command("logs", "--since", "10m", CHILD_ID)

    since = server.requests["ListLogs"][0].filter.start_time.ToDatetime(UTC)
    ago = datetime.now(UTC) + timedelta(days=3) - since  # by the server's clock, not by ours
    assert timedelta(minutes=10) <= ago < timedelta(minutes=11)


@pytest.mark.parametrize(
    "options",
    [["--since", "yesterday"], ["--context", "fold"], ["-f", "--until", "1m"], ["--raw", "-ojson"]],
)
def test_options_that_make_no_sense_are_usage_errors(
    options: list[str], command: Command, server: ScriptedServer
) -> None:
    assert command("logs", CHILD_ID, *options).code == 2
    assert not server.requests["ListLogs"]


def test_a_tail_reads_nothing_but_the_tail(command: Command, server: ScriptedServer) -> None:
    command("logs", "--tail", "100", CHILD_ID)

    asked: list[ListLogsRequest] = server.requests["ListLogs"]
    assert [(each.last, each.page_size) for each in asked] == [(100, 100)]


def test_a_tail_of_long_lines_comes_in_pages_from_the_end(
    command: Command, server: ScriptedServer
) -> None:
    later = LogBlock(first_sequence=3, entries=[LogEntry(message="c"), LogEntry(message="d")])
    earlier = LogBlock(first_sequence=2, entries=[LogEntry(message="b")])
    server.answers["ListLogs"] = lambda asked: (
        ListLogsResponse(blocks=[earlier])
        if asked.page_token
        else ListLogsResponse(blocks=[later], next_page_token="more")  # noqa: S106  # a page's
    )

    assert command("logs", "--tail", "3", CHILD_ID).out == "b\nc\nd\n"


def test_a_tail_longer_than_a_page_goes_on_before_it(
    command: Command, server: ScriptedServer
) -> None:
    def latest(asked: ListLogsRequest) -> ListLogsResponse:
        through = asked.through_sequence or 25_000
        first = max(1, through - asked.last + 1)
        entries = [LogEntry(message=str(n)) for n in range(first, through + 1)]
        return ListLogsResponse(blocks=[LogBlock(first_sequence=first, entries=entries)])

    server.answers["ListLogs"] = latest

    lines = command("logs", "--tail", "12000", CHILD_ID).out.split()

    assert [int(line) for line in lines] == list(range(13_001, 25_001))


def test_raw_output_is_what_was_written(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        LogEntry(message="\x1b[1mbold\x1b[0m", stream="stdout"),
        LogEntry(message="caf\ufffd", original=b"caf\xe9", stream="stdout"),
        LogEntry(message="a", stream="stdout", continues=True),
        LogEntry(message="b", stream="stdout"),
    ]
    server.answers["ListLogs"] = ListLogsResponse(
        blocks=[LogBlock(first_sequence=1, entries=entries)]
    )

    file = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(file))

    command("logs", "--raw", CHILD_ID)

    assert file.getvalue() == b"\x1b[1mbold\x1b[0m\ncaf\xe9\nab\n"


def test_raw_output_on_a_terminal_is_harmless_all_the_same(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert "\x1b]0;owned" not in command("logs", "--raw", CHILD_ID).out


def test_times_are_shown_when_asked_for(command: Command) -> None:
    done = command("logs", "--timestamps", CHILD_ID)

    assert done.out.splitlines()[0] == "2026-11-21T11:59:50Z fold 2 done"


def test_programs_get_one_object_a_line(command: Command) -> None:
    lines = [json.loads(line) for line in command("logs", "-o", "json", CHILD_ID).out.splitlines()]

    assert [line["sequence"] for line in lines] == ["41", "42", "43"]
    assert lines[1]["level"] == "LOG_LEVEL_WARNING"
    assert lines[2]["message"].startswith("\x1b]0;owned")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([CHILD_ID], "The log is empty.\n"),
        ([CHILD_ID, "--grep", "x"], "No line is like that.\n"),
        ([CHILD_ID, "--raw", "--tail", "3"], "The log is empty.\n"),
        ([PARENT_ID], f"`trackside get runs --parent {PARENT_ID}` lists the children"),
    ],
)
def test_where_there_is_no_line_the_person_is_told_why(
    words: list[str], why: str, command: Command, server: ScriptedServer
) -> None:
    server.answers["ListLogs"] = ListLogsResponse()

    done = command("logs", *words)

    assert (done.code, done.out) == (0, "")
    assert why in done.err
