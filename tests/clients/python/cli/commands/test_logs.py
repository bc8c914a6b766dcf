import json

import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, log_block
from support.scripted_server import ScriptedServer
from trackside_protos.logs.v1.log_entry_pb2 import LogLevel
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsResponse, WatchLogsResponse
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


def test_times_are_shown_when_asked_for(command: Command) -> None:
    done = command("logs", "--timestamps", CHILD_ID)

    assert done.out.splitlines()[0] == "2026-11-21T11:59:50Z fold 2 done"


def test_programs_get_one_object_a_line(command: Command) -> None:
    lines = [json.loads(line) for line in command("logs", "-o", "json", CHILD_ID).out.splitlines()]

    assert [line["sequence"] for line in lines] == ["41", "42", "43"]
    assert lines[1]["level"] == "LOG_LEVEL_WARNING"
    assert lines[2]["message"].startswith("\x1b]0;owned")
