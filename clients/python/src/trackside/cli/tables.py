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


def table(  # noqa: PLR0913  # by keyword only
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    paint: Paint,
    *,
    width: int | None = None,
    flexible: Sequence[str] = (),
    expendable: Sequence[str] = (),
    sparse: bool = False,
) -> list[str]:
    """Return a header line and a line for each row.

    Args:
        headers: The names of the columns.
        rows: Harmless text, one cell for each column.
        paint: How to decorate.
        width: Cut flexible columns so that lines are no wider, where that is possible.
        flexible: The names of the columns that may be cut, the first one first.
        expendable: The names of columns to leave out where cutting is not enough.
        sparse: Leave out the columns that no row fills.
    """
    heads = [Text(header, Style.STRONG) for header in headers]
    lines = [heads, *([_text(cell) for cell in row] for row in rows)]
    if sparse:
        lines = _chosen(lines, [any(line[at].text for line in lines[1:]) for at in _span(lines)])
    least = 0 if width is None else _least_width(lines, flexible)
    for name in expendable:
        if width is not None and least > width:
            lines = _chosen(lines, [head.text != name for head in lines[0]])
            least = _least_width(lines, flexible)
    widths = _widths(lines)
    if width is not None:
        excess = _total(widths) - width
        for column in (index for name in flexible for index in _places(lines[0], name)):
            cut = min(max(excess, 0), max(widths[column] - _LEAST_WIDTH, 0))
            widths[column] -= cut
            excess -= cut
    return [_line(line, widths, paint) for line in lines]


def _text(cell: Cell) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _chosen(lines: Sequence[Sequence[Text]], chosen: Sequence[bool]) -> list[list[Text]]:
    return [list(compress(line, chosen)) for line in lines]


def _span(lines: Sequence[Sequence[Text]]) -> range:
    return range(len(lines[0]))


def _widths(lines: Sequence[Sequence[Text]]) -> list[int]:
    return [max(width_of(line[column].text) for line in lines) for column in _span(lines)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _least_width(lines: Sequence[Sequence[Text]], flexible: Sequence[str]) -> int:
    """Return how wide lines are when every flexible column is cut as far as it may be."""
    return _total(
        [
            min(width, _LEAST_WIDTH) if head.text in flexible else width
            for head, width in zip(lines[0], _widths(lines), strict=True)
        ]
    )


def _places(heads: Sequence[Text], name: str) -> list[int]:
    return [index for index, head in enumerate(heads) if head.text == name]


def _line(pieces: Sequence[Text], widths: Sequence[int], paint: Paint) -> str:
    cells: list[str] = []
    for index, (piece, width) in enumerate(zip(pieces, widths, strict=True)):
        text = shortened(piece.text, width)
        padding = "" if index == len(pieces) - 1 else " " * (width - width_of(text))
        cells.append(paint.text(text, piece.style) + padding)
    return _GAP.join(cells).rstrip()


def fields(pairs: Sequence[tuple[str, Cell]], paint: Paint, *, indent: str = "  ") -> list[str]:
    """Return a line for each named value; those without a value are left out."""
    shown = [(name, _text(cell)) for name, cell in pairs]
    shown = [(name, piece) for name, piece in shown if piece.text]
    width = max((len(name) for name, _ in shown), default=0)
    return [f"{indent}{name:<{width}}{_GAP}{paint.apply(piece)}" for name, piece in shown]
