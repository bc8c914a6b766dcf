import pytest

from trackside_serving.escaping import escaped, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("naïve 😀", "naïve 😀"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202egpj", "\\u202egpj"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_does_not_print_is_escaped(text: str, shown: str) -> None:
    assert escaped(text, 100) == shown


def test_a_long_text_is_cut_to_its_limit() -> None:
    assert escaped("x" * 11, 10) == "xxxxxxxxx…"
    assert escaped("x" * 10, 10) == "xxxxxxxxxx"
    assert len(escaped("\x00" * 100, 10)) == 10


def test_an_echo_of_input_is_short_and_in_quotes() -> None:
    assert quoted("abc") == '"abc"'
    assert len(quoted("x" * 1000)) == 66
