import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trackside.cli import main
from trackside_serving.home import Home
from trackside_serving.identity import Caller, Role


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TRACKSIDE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TRACKSIDE_TOKEN", raising=False)
    return Home(tmp_path / "home")


def test_a_token_is_made_that_the_server_of_this_home_takes(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["token", "create", "ben", "--project", "digits", "--lifetime", "12h"]) == 0

    written = capsys.readouterr()
    verified = home.verifier().verified(written.out.strip())
    assert verified.caller == Caller("ben", Role.USER, frozenset({"digits"}))
    assert written.err.startswith(f"token {verified.token_id}: ben (user), until ")
    lifetime = datetime.fromtimestamp(verified.expires, UTC) - datetime.now(UTC)
    assert timedelta(hours=11) < lifetime <= timedelta(hours=12)


def test_a_reporters_token_is_for_its_runs_alone(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["token", "create", "robot", "--role", "reporter", "--run", "0123456789abcdef"]
    assert main.run(words) == 0

    caller = home.verifier().verify(capsys.readouterr().out.strip())
    assert caller.run_ids == {"0123456789abcdef"}


def test_a_program_gets_a_token_with_its_id(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["token", "create", "ben", "-o", "json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert home.verifier().verified(told["token"]).token_id == told["tokenId"]
    assert (told["subject"], told["role"]) == ("ben", "user")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "words",
    [
        ["ben smith"],
        ["ben", "--role", "reporter"],
        ["ben", "--run", "0123456789abcdef"],
        ["ben", "--role", "service"],
        ["ben", "--lifetime", "soon"],
        ["ben", "--lifetime", "4000d"],
    ],
)
def test_a_token_that_makes_no_sense_is_a_usage_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["token", "create", *words]) == 2
    assert capsys.readouterr().out == ""


def test_the_token_in_use_is_explained_and_not_shown(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["token", "show"]) == 0
    told = capsys.readouterr().out
    assert main.run(["token", "show", "-o", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)

    assert "(admin), until " in told
    assert f"id: {facts['tokenId']}\n" in told
    assert home.token not in told
    assert (facts["role"], facts["projects"]) == ("admin", ["default"])


@pytest.mark.usefixtures("home")
def test_a_token_of_another_server_is_not_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKSIDE_TOKEN", "abc.def.ghi")

    assert main.run(["token", "show"]) == 1
    assert "none of this home" in capsys.readouterr().err


def test_a_home_without_a_server_has_no_key_and_gets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKSIDE_HOME", str(tmp_path / "empty"))

    assert main.run(["token", "create", "ben"]) == 1
    assert "no server was started in the home" in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()
