import io

import pytest

from trackside.cli.paint import Paint, Style, paint_for


class _Screen(io.StringIO):
    encoding = "utf-8"  # pyright: ignore[reportAssignmentType]  # as a terminal's stream has it

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_gets_colours_and_symbols() -> None:
    assert paint_for(_Screen()) == Paint(colors=True, symbols=True)


def test_a_pipe_gets_neither() -> None:
    assert paint_for(io.StringIO()) == Paint()


def test_a_pipe_gets_colours_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert paint_for(io.StringIO()).colors


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_left_out_where_it_is_not_wanted(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert not paint_for(_Screen()).colors


def test_a_state_is_never_shown_by_colour_alone() -> None:
    paint = Paint(colors=True, symbols=True)

    assert paint.apply(paint.state("FAILED")) == "\x1b[31m✖ FAILED\x1b[0m"


def test_without_colours_text_stays_as_it_is() -> None:
    assert Paint().text("a", Style.BAD) == "a"
