import stat
from pathlib import Path

import pytest

from trackside.cli.failures import CommandError
from trackside.cli.profiles import (
    Profile,
    Profiles,
    profiles_file,
    read_profiles,
    write_profiles,
)
from trackside.cli.reach import located
from trackside.location import Location

_WORK = Profile("pit.example.org:8750", "token-of-work")
_LOCAL = Profile("127.0.0.1:9000")
_FOUND = Location("127.0.0.1:8750", "token-of-home", Path("/home/of/ann"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Points to a config folder that has two profiles, one of them in use."""
    environment = {"TRACKSIDE_CONFIG": str(tmp_path / "config")}
    profiles = Profiles({}).with_profile("work", _WORK).with_profile("local", _LOCAL).using("work")
    write_profiles(profiles_file(environment), profiles)
    return environment


def test_profiles_are_read_as_they_were_written(environment: dict[str, str]) -> None:
    read = read_profiles(profiles_file(environment))

    assert read == Profiles({"local": _LOCAL, "work": _WORK}, "work")


def test_profiles_are_for_their_owner_only(environment: dict[str, str]) -> None:
    file = profiles_file(environment)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["profiles.json"]


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert read_profiles(tmp_path / "nothing") == Profiles({})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"profiles": {"a": {"x": 1}}, "current": ""}'])
def test_a_file_that_is_broken_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text(text, "utf-8")

    with pytest.raises(CommandError, match=r"cannot read the profiles in .*profiles\.json"):
        read_profiles(tmp_path / "profiles.json")


def test_the_profile_in_use_goes_when_it_is_removed() -> None:
    profiles = Profiles({"work": _WORK}, "work").without("work")

    assert profiles == Profiles({})


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "\x1b", "a" * 65])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(CommandError):
        Profiles({}).with_profile(name, _LOCAL)


def test_another_machine_never_gets_the_token_of_this_home() -> None:
    with pytest.raises(CommandError, match="needs a token"):
        Profiles({}).with_profile("work", Profile("pit.example.org:8750"))


def _server(environment: dict[str, str], *, server: str = "", said: str = "") -> str:
    return located(_FOUND, server, said, environment).server


def test_what_is_said_goes_before_the_environment_and_that_before_the_profile_in_use(
    environment: dict[str, str],
) -> None:
    assert _server(environment) == _WORK.server
    environment["TRACKSIDE_PROFILE"] = "local"
    assert _server(environment) == _LOCAL.server
    environment["TRACKSIDE_SERVER"] = _FOUND.server
    assert _server(environment) == _FOUND.server
    assert _server(environment, said="work") == _WORK.server
    assert _server(environment, said="work", server="127.0.0.1:1") == "127.0.0.1:1"


def test_a_profile_comes_with_its_token(environment: dict[str, str]) -> None:
    assert located(_FOUND, "", "work", environment).token == "token-of-work"  # noqa: S105  # none
    assert located(_FOUND, "", "local", environment).token == "token-of-home"  # noqa: S105  # none


def test_a_profile_that_is_not_there_is_not_found(environment: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="no profile 'home'") as refused:
        located(_FOUND, "", "home", environment)

    assert (refused.value.code, refused.value.hint) == (3, "profiles: local, work")
