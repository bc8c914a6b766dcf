import io
import json
from pathlib import Path

import pytest
import yaml

from support.command_line import Command
from support.scripted_server import ScriptedServer
from trackside_protos.runs.v1.runs_service_pb2 import ListRunsResponse


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKSIDE_CONFIG", str(tmp_path / "config"))


def test_a_profile_is_added_used_and_removed(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret-token\n"))
    server = "pit.example.org:8750"

    assert command("profile", "list").err.startswith("No profiles.")
    assert command("profile", "add", "work", "--server", server, "--token-file", "-").code == 0
    assert command("profile", "use", "work").code == 0
    assert command("profile", "list").out.splitlines()[1].split() == ["*", "work", server, "own"]
    assert "secret" not in command("profile", "list").out
    assert command("profile", "remove", "work").code == 0
    assert command("profile", "use", "work").code == 3


def test_profiles_are_listed_for_programs_without_their_tokens(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(command("profile", "list", "-o", "json").out) == {"profiles": []}
    monkeypatch.setattr("sys.stdin", io.StringIO("secret-token\n"))
    command("profile", "add", "work", "--server", "pit.example.org:8750", "--token-file", "-")
    command("profile", "add", "here", "--server", "127.0.0.1:9")
    command("profile", "use", "work")

    listed = json.loads(command("profile", "list", "-o", "json").out)

    assert listed == {
        "profiles": [
            {"name": "here", "server": "127.0.0.1:9", "hasToken": False, "used": False},
            {"name": "work", "server": "pit.example.org:8750", "hasToken": True, "used": True},
        ]
    }
    assert yaml.safe_load(command("profile", "list", "-o", "yaml").out) == listed
    assert command("profile", "list", "-o", "name").out == "here\nwork\n"


def test_a_command_asks_the_server_of_a_profile(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["ListRuns"] = ListRunsResponse()
    monkeypatch.delenv("TRACKSIDE_TOKEN")
    monkeypatch.setattr("sys.stdin", io.StringIO("token-of-work"))
    command("profile", "add", "work", "--server", server.address, "--token-file", "-")
    monkeypatch.setenv("TRACKSIDE_SERVER", "127.0.0.1:1")

    done = command("get", "runs", "--all", "--profile", "work")

    assert done.code == 0
    assert server.metadata[-1]["authorization"] == "Bearer token-of-work"


def test_a_file_without_a_token_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n", "utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    words = ["profile", "add", "work", "--server", "127.0.0.1:1", "--token-file"]

    assert command(*words, str(tmp_path / "empty")).code == 2
    assert command(*words, str(tmp_path / "binary")).code == 2
    assert command(*words, str(tmp_path / "nowhere")).code == 1
