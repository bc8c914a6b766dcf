"""Making text from outside fit to be shown: printable, and of bounded length."""

from typing import Final

ECHO_LIMIT: Final = 64
"""How many characters of a caller's own input an error message repeats at most."""


def escaped(text: str, limit: int) -> str:
    """Return `text` with everything that does not print escaped, cut to `limit` characters.

    Escaped are control characters, line and paragraph separators, surrogates, and the marks
    that turn the direction of writing around.
    """
    # Cut first: a hostile text must not cost the time of its whole length.
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def quoted(text: str) -> str:
    """Return a caller's input as an error message may repeat it, in double quotes."""
    return f'"{escaped(text, ECHO_LIMIT)}"'
