import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID, child, parent
from support.scripted_server import ScriptedServer
from support.terminal_shell import TerminalShell
from trackside.cli.main import trackside
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import ListRunsRequest, ListRunsResponse


@pytest.fixture(autouse=True)
def shell(command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command  # points to the scripted server
    monkeypatch.setattr("trackside.cli.completion._PATIENCE", 60)
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


@pytest.mark.processes
@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_what_a_shell_reads_is_had_in_the_way_of_other_programs_too(
    shell_name: str, command: Command
) -> None:
    environment = {**_with_our_commands(), "_TRACKSIDE_COMPLETE": f"{shell_name}_source"}

    done = subprocess.run(["trackside"], env=environment, capture_output=True, text=True)  # noqa: S607, PLW1510

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == command("completion", shell_name).out


@pytest.mark.processes
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("deep", r"deep\ search\ €"),
        (r"deep\ s", r"deep\ search\ €"),
        ('"deep', '"deep search €"'),
        ("'deep s", "'deep search €'"),
        ("alpha=1", r"alpha=1,\ beta=2"),
        ("2026-11-22T10:", r"2026-11-22T10:00@box"),
        ("2026-11-22T10:00@", r"2026-11-22T10:00@box"),
        ("harm", r"harm\$\(touch\ x\)\;\*"),
        ("--prof", "--profile"),
        ("--profile=wo", "--profile=work"),
    ],
)
def test_bash_completes_names_with_what_it_takes_for_more_than_letters(
    typed: str,
    completed: str,
    server: ScriptedServer,
    command: Command,
    tmp_path: Path,
) -> None:
    server.answers["ListRuns"] = _runs_that_begin
    command("profile", "add", "work", "--server", server.address)
    shell = TerminalShell(tmp_path, _with_our_commands())

    try:
        shell.begin("bind 'set bell-style none' 'set enable-bracketed-paste off'\n")
        shell.begin('eval "$(trackside completion bash)"\n')
        shell.begin(f"trackside describe {typed}\t")
        # Where the server is too slow for a shell, nothing is proposed: one asks again.
        while not shell.comes_to(lambda: f" {completed} " in shell.written, within=5):
            shell.type("\t")
    finally:
        shell.close()


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish_completes_names_with_commas(tmp_path: Path, server: ScriptedServer) -> None:
    server.answers["ListRuns"] = _runs_that_begin
    script = "trackside completion fish | source; complete -C 'trackside describe alpha'"

    while not (proposed := _said_by_fish(script, tmp_path)):
        pass  # the server was too slow for a shell

    assert proposed.split("\t")[0] == "alpha=1, beta=2"


def _said_by_fish(script: str, home: Path) -> str:
    environment = {**_with_our_commands(), "HOME": str(home)}
    fish = ["fish", "--no-config", "-c", script]
    return subprocess.run(fish, env=environment, capture_output=True, text=True, check=True).stdout  # noqa: S603  # a real shell


def _with_our_commands() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path}


def _runs_that_begin(asked: ListRunsRequest) -> ListRunsResponse:
    beginning = asked.filter.rpartition('"')[0].rpartition('"')[2].removesuffix("*")
    fitting = [run for run in map(_called, _NAMES) if run.name.startswith(beginning)]
    return ListRunsResponse(runs=fitting)


def _called(name: str) -> Run:
    return Run(run_id=CHILD_ID, name=name)


_NAMES = ("deep search €", "alpha=1, beta=2", "2026-11-22T10:00@box", "harm$(touch x);*")


def test_a_word_that_is_no_command_completes_as_if_it_were_not_there() -> None:
    assert _completed(["nothing-such"], "") == _completed([], "")
