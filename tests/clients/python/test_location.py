from pathlib import Path

import pytest

from trackside.location import DEFAULT_SERVER, Location, discover, is_on_this_machine


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKSIDE_HOME", str(tmp_path))
    monkeypatch.delenv("TRACKSIDE_SERVER", raising=False)
    monkeypatch.delenv("TRACKSIDE_TOKEN", raising=False)
    return tmp_path


def test_without_settings_it_is_the_local_server_and_the_token_of_the_home(home: Path) -> None:
    (home / "token").write_text("of the home\n")

    found = discover()

    assert (found.server, found.current_token(), found.home) == (
        DEFAULT_SERVER,
        "of the home",
        home,
    )


def test_the_environment_goes_before_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "token").write_text("of the home")
    monkeypatch.setenv("TRACKSIDE_SERVER", "there:1234")
    monkeypatch.setenv("TRACKSIDE_TOKEN", "told")

    found = discover()

    assert (found.server, found.token) == ("there:1234", "told")


def test_a_token_that_is_made_later_is_found(home: Path) -> None:
    found = discover()
    assert found.current_token() == ""

    (home / "token").write_text("new")

    assert found.current_token() == "new"


def test_the_token_is_not_shown(home: Path) -> None:
    (home / "token").write_text("hidden")

    assert "hidden" not in repr(discover())


def test_without_a_home_it_is_the_platforms_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKSIDE_HOME")

    assert discover().home.name == "trackside"


def test_what_is_meant_for_the_server_of_a_home_is_so_wherever_that_listens(
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text("of the home")

    destinations = [
        Location(server, token, tmp_path).destination
        for server in ("127.0.0.1:8750", "127.0.0.1:9999", "elsewhere:8750")
        for token in ("", "of the home", "another")
    ]

    assert destinations == [
        *("home", "home", "127.0.0.1:8750"),
        *("home", "home", "127.0.0.1:9999"),
        *("elsewhere:8750", "elsewhere:8750", "elsewhere:8750"),
    ]


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        ("127.0.0.1:8750", True),
        ("127.9.9.9:1", True),
        ("localhost:8750", True),
        ("[::1]:8750", True),
        ("unix:/run/trackside.sock", True),
        ("10.0.0.7:8750", False),
        ("127.example.org:8750", False),
        ("localhost.example.org:8750", False),
    ],
)
def test_it_is_told_which_addresses_are_on_this_machine(address: str, *, is_here: bool) -> None:
    assert is_on_this_machine(address) is is_here
