"""The words of a filter, found in one pass from left to right."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from trackside_runs.filtering.errors import FilterError

MAXIMUM_LENGTH: Final = 4096
"""How many characters a filter may have."""

_COMPARATOR: Final = re.compile(r"<=|>=|!=|=|<|>|:")
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NAME: Final = re.compile(r"[^ \t\r\n()=<>!:\"'\\*]+")
_ARGUMENT: Final = re.compile(r"[^ \t\r\n()\"'\\*]+")
_QUOTED: Final = {'"': re.compile(r'[^"\\*]+'), "'": re.compile(r"[^'\\*]+")}
_ESCAPES: Final = {"n": "\n", "t": "\t"} | {character: character for character in "\\\"'*"}


class Mark(Enum):
    """What a token is."""

    WORD = auto()
    COMPARATOR = auto()
    OPEN = auto()
    CLOSE = auto()
    AND = auto()
    OR = auto()
    NOT = auto()
    END = auto()


_KEYWORDS: Final = {"AND": Mark.AND, "OR": Mark.OR, "NOT": Mark.NOT}


@dataclass(frozen=True, slots=True)
class Token:
    """One word or sign of a filter."""

    mark: Mark
    position: int
    text: str = ""
    """A word without quotes and escapes, or the comparator."""
    parts: tuple[str, ...] = ()
    """A word split at its wildcards."""
    is_quoted: bool = False
    """Whether any of a word was quoted, so that it is text and nothing else."""
    dot: int | None = None
    """Where the first unquoted dot of a word's text is."""


def tokenize(text: str) -> Iterator[Token]:
    """Return the tokens of a filter; the last one is END.

    What follows a comparator runs to the next space or parenthesis, so that times need no
    quotes.

    Raises:
        FilterError: A sign has no place in a filter.
    """
    if len(text) > MAXIMUM_LENGTH:
        message = f"A filter has at most {MAXIMUM_LENGTH} characters."
        raise FilterError(message, MAXIMUM_LENGTH)
    if forbidden := _FORBIDDEN.search(text):
        raise FilterError("Control characters have no place in a filter.", forbidden.start())
    position = 0
    is_argument = False
    while True:
        if space := _SPACE.match(text, position):
            position = space.end()
        if position == len(text):
            yield Token(Mark.END, position)
            return
        token, position = _next(text, position, is_argument=is_argument)
        is_argument = token.mark is Mark.COMPARATOR
        yield token


def _next(text: str, position: int, *, is_argument: bool) -> tuple[Token, int]:
    character = text[position]
    if character in "()":
        mark = Mark.OPEN if character == "(" else Mark.CLOSE
        return Token(mark, position), position + 1
    if comparator := _COMPARATOR.match(text, position):
        return Token(Mark.COMPARATOR, position, text=comparator.group()), comparator.end()
    if character == "-" and not is_argument:
        return Token(Mark.NOT, position), position + 1
    return _word(text, position, is_argument=is_argument)


def _word(text: str, start: int, *, is_argument: bool) -> tuple[Token, int]:
    plain = _ARGUMENT if is_argument else _NAME
    word = _Word()
    position = quoted_from = start
    quote = ""
    while position < len(text):
        character = text[position]
        if run := (_QUOTED[quote] if quote else plain).match(text, position):
            word.add(run.group(), is_quoted=bool(quote))
            position = run.end()
        elif character == "\\":
            word.add(_escape(text, position), is_quoted=True)
            position += 2
        elif character == "*":
            word.add_wildcard()
            position += 1
        elif quote or character in "\"'":
            word.is_quoted = True
            quote, quoted_from = ("" if quote else character), position
            position += 1
        else:
            break
    if quote:
        raise FilterError("This quote is not closed.", quoted_from)
    if position == start:
        raise FilterError(f"{text[position]!r} has no place here.", position)
    return word.token(start, is_argument=is_argument), position


def _escape(text: str, position: int) -> str:
    character = text[position + 1 : position + 2]
    if character not in _ESCAPES:
        raise FilterError("After a backslash: a quote, a star, a backslash, n or t.", position)
    return _ESCAPES[character]


class _Word:
    """A word while it is read."""

    def __init__(self) -> None:
        self.is_quoted = False
        self._parts: list[list[str]] = [[]]
        self._length = 0
        self._dot: int | None = None

    def add(self, text: str, *, is_quoted: bool) -> None:
        if self._dot is None and not is_quoted and "." in text:
            self._dot = self._length + text.index(".")
        self.is_quoted = self.is_quoted or is_quoted
        self._length += len(text)
        self._parts[-1].append(text)

    def add_wildcard(self) -> None:
        self._length += 1
        self._parts.append([])

    def token(self, start: int, *, is_argument: bool) -> Token:
        parts = tuple("".join(part) for part in self._parts)
        text = "*".join(parts)
        mark = Mark.WORD
        if not is_argument and not self.is_quoted:
            mark = _KEYWORDS.get(text, Mark.WORD)
        return Token(mark, start, text, parts, self.is_quoted, self._dot)
