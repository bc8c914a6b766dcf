import pytest

from trackside.cli.safe_text import harmless, harmless_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, naïve 日本", "plain text, naïve 日本"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\rb\nc", "a\\rb\\nc"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("gpj.\u202etxt", "gpj.\\u202etxt"),
        ("\u2028\u2066", "\\u2028\\u2066"),
        ("\ud800", "\\ud800"),
        ("a\tb", "a\tb"),
    ],
)
def test_nothing_that_a_terminal_obeys_comes_through(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_cells_have_no_tabs() -> None:
    assert harmless_cell("a\tb\x1b") == "a b\\x1b"
