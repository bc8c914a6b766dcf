"""Tables as lines of text: straight columns, whatever the width of a character."""

import unicodedata
from collections.abc import Sequence
from itertools import compress
from typing import Final

from trackside.cli.paint import Paint, Style, Text

_GAP: Final = "  "
_LEAST_WIDTH: Final = 12

Cell = str | Text


def width_of(text: str) -> int:
    """Return how many columns a terminal needs for `text`."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, width: int) -> str:
    """Return `text` in at most `width` columns, ending in `…` where something was cut off."""
    if width_of(text) <= width:
        return text
    kept: list[str] = []
    room = width - 1
    for character in text:
        room -= _character_width(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    paint: Paint,
    *,
    width: int | None = None,
    flexible: Sequence[str] = (),
    sparse: bool = False,
) -> list[str]:
    """Return a header line and a line for each row.

    Args:
        headers: The names of the columns.
        rows: Harmless text, one cell for each column.
        paint: How to decorate.
        width: Cut flexible columns so that lines are no wider, where that is possible.
        flexible: The names of the columns that may be cut, the first one first.
        sparse: Leave out the columns that no row fills.
    """
    pieces = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    if sparse:
        filled = [any(row[column].text for row in pieces) for column in range(len(headers))]
        headers = list(compress(headers, filled))
        pieces = [list(compress(row, filled)) for row in pieces]
    heads = [Text(header, Style.STRONG) for header in headers]
    widths = [
        max(width_of(line[column].text) for line in [heads, *pieces])
        for column in range(len(headers))
    ]
    if width is not None:
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        for column in (index for name in flexible for index in _places(headers, name)):
            cut = min(max(excess, 0), max(widths[column] - _LEAST_WIDTH, 0))
            widths[column] -= cut
            excess -= cut
    return [_line(line, widths, paint) for line in [heads, *pieces]]


def _places(headers: Sequence[str], name: str) -> list[int]:
    return [index for index, header in enumerate(headers) if header == name]


def _line(pieces: Sequence[Text], widths: Sequence[int], paint: Paint) -> str:
    cells: list[str] = []
    for index, (piece, width) in enumerate(zip(pieces, widths, strict=True)):
        text = shortened(piece.text, width)
        padding = "" if index == len(pieces) - 1 else " " * (width - width_of(text))
        cells.append(paint.text(text, piece.style) + padding)
    return _GAP.join(cells).rstrip()


def fields(pairs: Sequence[tuple[str, Cell]], paint: Paint, *, indent: str = "  ") -> list[str]:
    """Return a line for each named value; those without a value are left out."""
    shown = [(name, Text(cell) if isinstance(cell, str) else cell) for name, cell in pairs]
    shown = [(name, piece) for name, piece in shown if piece.text]
    width = max((len(name) for name, _ in shown), default=0)
    return [f"{indent}{name:<{width}}{_GAP}{paint.apply(piece)}" for name, piece in shown]
