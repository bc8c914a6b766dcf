import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID, child, parent
from support.scripted_server import ScriptedServer
from trackside.cli.main import trackside
from trackside_protos.runs.v1.runs_service_pb2 import ListRunsResponse


@pytest.fixture(autouse=True)
def shell(command: Command, server: ScriptedServer) -> None:
    assert command  # points to the scripted server
    server.answers["ListRuns"] = ListRunsResponse(runs=[parent(), child()])


def _completed(words: Sequence[str], incomplete: str) -> list[str]:
    completion = ShellComplete(trackside, {}, "trackside", "_TRACKSIDE_COMPLETE")
    return [item.value for item in completion.get_completions(list(words), incomplete)]


def test_commands_and_lists_are_completed() -> None:
    assert {"kill", "stop", "up"} <= set(_completed([], ""))
    assert _completed([], "des") == ["describe"]
    assert _completed(["get"], "ru") == ["runners", "runs"]


def test_options_are_completed() -> None:
    assert _completed(["kill"], "--forc") == ["--force-end"]


@pytest.mark.parametrize("words", [["logs"], ["kill"], ["kill", PARENT_ID], ["watch"], ["tag"]])
def test_runs_are_completed_with_live_ids(words: list[str], server: ScriptedServer) -> None:
    assert _completed(words, "") == [PARENT_ID, CHILD_ID]
    assert server.requests["ListRuns"][0].page_size == 50


def test_a_beginning_is_that_of_an_id_or_of_a_name(server: ScriptedServer) -> None:
    server.answers["ListRuns"] = ListRunsResponse(runs=[child()])

    assert _completed(["logs"], "eps") == ["epsilon=0.02"]
    assert server.requests["ListRuns"][0].filter == '(run_id = "eps*" OR name = "eps*")'


def test_without_a_server_nothing_is_proposed(server: ScriptedServer) -> None:
    server.stop()

    assert _completed(["logs"], "") == []


def test_profiles_are_completed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKSIDE_CONFIG", str(tmp_path))
    command("profile", "add", "work", "--server", "127.0.0.1:1")

    assert _completed(["profile", "use"], "w") == ["work"]
    assert _completed(["get", "runs", "--profile"], "") == ["work"]


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_every_shell_gets_what_it_can_read(shell_name: str, command: Command) -> None:
    done = command("completion", shell_name)

    assert (done.code, "_TRACKSIDE_COMPLETE" in done.out) == (0, True)
    if program := shutil.which(shell_name):
        subprocess.run([program, "-n", "-c", done.out], check=True)  # noqa: S603  # a real shell


def test_a_word_that_is_no_command_completes_as_if_it_were_not_there() -> None:
    assert _completed(["nothing-such"], "") == _completed([], "")
