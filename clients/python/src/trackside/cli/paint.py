"""Colour and symbols, always beside the word they stand for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TextIO


class Style(StrEnum):
    """What a piece of text means, as the terminal's code for its colour."""

    PLAIN = ""
    STRONG = "1"
    FAINT = "2"
    GOOD = "32"
    BUSY = "36"
    NOTABLE = "33"
    BAD = "31"


_STYLES: Final[Mapping[str, Style]] = {
    "PENDING": Style.FAINT,
    "SUBMITTED": Style.FAINT,
    "INITIALIZING": Style.BUSY,
    "RUNNING": Style.BUSY,
    "STOPPING": Style.BUSY,
    "IDLE": Style.NOTABLE,
    "COMPLETED": Style.GOOD,
    "SUCCEEDED": Style.GOOD,
    "CACHED": Style.GOOD,
    "FAILED": Style.BAD,
    "TERMINATED": Style.NOTABLE,
    "ABORTED": Style.NOTABLE,
}

_SYMBOLS: Final[Mapping[str, str]] = {
    "PENDING": "○",
    "SUBMITTED": "○",
    "INITIALIZING": "◌",
    "RUNNING": "●",
    "STOPPING": "◍",
    "IDLE": "◇",
    "COMPLETED": "✔",
    "SUCCEEDED": "✔",
    "CACHED": "✔",
    "FAILED": "✖",
    "TERMINATED": "■",
    "ABORTED": "■",
}


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of harmless text and what it means."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Paint:
    """How much decoration a stream takes."""

    colors: bool = False
    symbols: bool = False

    def apply(self, piece: Text) -> str:
        """Return the piece as the stream should get it."""
        return self.text(piece.text, piece.style)

    def text(self, text: str, style: Style) -> str:
        """Return `text` in a style."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colors and style and text else text

    def state(self, word: str) -> Text:
        """Return the word of a state with its symbol, for a run or a task."""
        symbol = _SYMBOLS.get(word, "") if self.symbols else ""
        return Text(f"{symbol} {word}" if symbol else word, _STYLES.get(word, Style.PLAIN))


def paint_for(stream: TextIO) -> Paint:
    """Return the decoration for a stream: none off a terminal, no colour with `NO_COLOR`."""
    if not stream.isatty():
        return Paint(colors=bool(os.environ.get("FORCE_COLOR")))
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    encoding = (stream.encoding or "ascii").lower().replace("-", "")
    return Paint(colors=not plain, symbols=encoding.startswith("utf"))
