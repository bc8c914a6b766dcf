"""Cuts a stream of bytes into the lines of a log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST_MESSAGE: Final = 64 << 10
"""A message has at most so many bytes of UTF-8; a longer line becomes several."""

_REPLACED: Final = LONGEST_MESSAGE // 3  # what cannot be read takes three bytes for each one
_CONTINUATION: Final = 0b1100_0000
_CONTINUED: Final = 0b1000_0000


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or a part of one."""

    message: str
    continues: bool = False
    """Whether the next line is a part of the same one."""
    original: bytes = b""
    """The bytes, when they are not the UTF-8 of the message."""


def pieces_of(line: bytes) -> Iterator[Line]:
    """Yield a line, in several parts when it is long."""
    while len(line) > LONGEST_MESSAGE:
        piece = _piece(line)
        yield _decoded(piece, continues=True)
        line = line[len(piece) :]
    try:
        yield Line(line.decode())
    except UnicodeDecodeError:
        while len(line) > _REPLACED:
            yield _decoded(line[:_REPLACED], continues=True)
            line = line[_REPLACED:]
        yield _decoded(line, continues=False)


class LineCutter:
    """Puts lines together from chunks as they come.

    A progress bar draws one line over and over, each time behind a carriage return: of those
    only the last state is kept.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self.is_redrawn: bool = False
        """Whether the line that has not ended was drawn over at least once."""

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Yield the lines that this chunk ends."""
        had_return = self._rest.endswith(b"\r")
        self._rest += chunk
        if b"\n" in chunk:
            *ended, self._rest = self._rest.split(b"\n")
            for line in ended:
                self.is_redrawn = False
                yield from pieces_of(_last_state(bytes(line)))
        if had_return or b"\r" in chunk:
            # A return at the very end may be the first half of a line end.
            position = self._rest.rfind(b"\r", 0, len(self._rest) - 1)
            self.is_redrawn = self.is_redrawn or position >= 0
            del self._rest[: position + 1]
        while len(self._rest) > LONGEST_MESSAGE:
            piece = _piece(bytes(self._rest[: LONGEST_MESSAGE + 4]))
            del self._rest[: len(piece)]
            yield _decoded(piece, continues=True)

    def present(self) -> bytes:
        """Return the state of the line that has not ended."""
        return bytes(self._rest).rstrip(b"\r")

    def end(self) -> Iterator[Line]:
        """Yield the line that was not ended."""
        rest, self._rest = self.present(), bytearray()
        if rest:
            yield from pieces_of(rest)


def _last_state(line: bytes) -> bytes:
    line = line.removesuffix(b"\r")
    return line[line.rfind(b"\r") + 1 :]


def _piece(line: bytes) -> bytes:
    """Return as much of the beginning as fits into one message, no character cut in two."""
    end = LONGEST_MESSAGE
    for step in range(4):
        if line[end - step] & _CONTINUATION != _CONTINUED:
            end -= step
            break
    piece = line[:end]
    try:
        piece.decode()
    except UnicodeDecodeError:
        return line[:_REPLACED]
    return piece


def _decoded(piece: bytes, *, continues: bool) -> Line:
    try:
        return Line(piece.decode(), continues)
    except UnicodeDecodeError:
        return Line(piece.decode(errors="replace"), continues, piece)
