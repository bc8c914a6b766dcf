import pytest

from trackside.cli.pager import fits, pager_command, show_paged


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({}, ["less"]),
        ({"PAGER": "more -d"}, ["more", "-d"]),
        ({"PAGER": "more", "TRACKSIDE_PAGER": "most"}, ["most"]),
        ({"PAGER": "more", "TRACKSIDE_PAGER": ""}, []),
        ({"PAGER": "cat"}, []),
        ({"PAGER": "more '"}, []),
        ({"TERM": "dumb"}, []),
    ],
)
def test_the_pager_is_the_persons(environment: dict[str, str], command: list[str]) -> None:
    assert pager_command(environment) == command


def test_a_pager_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKSIDE_PAGER", "/nowhere/less")

    assert not show_paged(["a"])


def test_a_pager_that_is_left_early_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKSIDE_PAGER", "true")

    assert show_paged(["a" * 100] * 10_000)


def test_lines_that_wrap_take_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "4")

    assert fits(["x" * 20, "\x1b[31m" + "x" * 10 + "\x1b[0m"])
    assert not fits(["x" * 21, "x"])
