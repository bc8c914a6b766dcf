"""Makes log lines of the bytes that a program writes, in bounded memory."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

LONGEST: Final = 64 * 1024
"""A longer line is cut into pieces, none of which has more bytes, nor more in UTF-8."""

SHOWN_SECONDS: Final = 1.0
"""A line that overwrites itself is shown at most so often."""

CONTINUATION: Final = range(0x80, 0xC0)
LONGEST_CHARACTER: Final = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a piece of one."""

    data: bytes
    consumed: int
    """How many of the bytes just fed are in this line or before it."""
    continues: bool = False


class LineMaker:
    r"""Cuts one stream into lines: at `\n`, and where they get too long.

    A line end may be `\r\n`. What a lone `\r` makes a terminal overwrite is a progress bar's
    earlier state: of these the last is shown, once a second, and the final one as the line.
    Where a line is no text no `\r` means anything: every byte is kept from there to its end, and in
    all lines after one with a zero byte, which an archive has and a progress bar never.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._overwritten = b""
        self._shown = 0.0
        self._is_kept = False
        self._is_binary = False

    @classmethod
    def restored(cls, state: Mapping[str, str]) -> Self:
        """Return what goes on where `state` was taken."""
        maker = cls()
        maker._rest = base64.b64decode(state["rest"])
        maker._overwritten = base64.b64decode(state["overwritten"])
        maker._is_kept = bool(state.get("kept"))  # earlier versions did not say these
        maker._is_binary = bool(state.get("binary"))
        return maker

    @property
    def is_as_new(self) -> bool:
        """Whether everything that was fed was yielded, and leaves no mark on what comes."""
        return not (self._rest or self._overwritten or self._is_binary)

    @property
    def has_overwritten(self) -> bool:
        """Whether an overwritten state waits to be shown."""
        return bool(self._overwritten)

    def state(self) -> Mapping[str, str]:
        """Return what JSON can hold of what was fed and not yet yielded."""
        rest, overwritten = map(base64.b64encode, (self._rest, self._overwritten))
        return {
            "rest": rest.decode(),
            "overwritten": overwritten.decode(),
            "kept": "yes" if self._is_kept else "",
            "binary": "yes" if self._is_binary else "",
        }

    def feed(self, data: bytes, time: float) -> Iterator[Line]:
        """Yield the lines that end in `data`, which is best no longer than a line may be.

        After each, `state` and the line's `consumed` belong together.
        """
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield from self._grow(data, start, end)
            yield Line(self._take_rest(), end + 1)
            start = end + 1
        yield from self._grow(data, start, len(data))
        yield from self.overwritten(time, len(data))

    def overwritten(self, time: float, consumed: int = 0) -> Iterator[Line]:
        """Yield the newest state that was overwritten, if it is time to show one again."""
        if self._overwritten and time - self._shown >= SHOWN_SECONDS:
            line, self._overwritten, self._shown = self._overwritten, b"", time
            yield Line(line, consumed)

    def end(self) -> Iterator[Line]:
        """Yield what is left: nothing more comes."""
        line = self._take_rest()
        if line:
            yield Line(line, 0)

    def _take_rest(self) -> bytes:
        """Return the unfinished line, which is one now."""
        if not _is_text(self._rest):
            self._keep(self._rest)
        line = self._rest
        if not self._is_kept:
            line = line.rstrip(b"\r") or self._overwritten
        self._rest = self._overwritten = b""
        self._is_kept = self._is_binary
        return line

    def _grow(self, data: bytes, start: int, end: int) -> Iterator[Line]:
        """Add to the unfinished line; yield pieces of it while it is too long."""
        self._rest += data[start:end]
        self._is_binary = self._is_binary or data.find(b"\0", start, end) >= 0
        self._collapse()
        while len(self._rest) > LONGEST:
            place = _between_characters(self._rest, LONGEST)
            if not (self._is_kept or _is_text(self._rest[:place])):
                self._keep(self._rest)
                continue
            piece, self._rest = self._rest[:place], self._rest[place:]
            yield Line(piece, end, continues=True)

    def _collapse(self) -> None:
        """Drop what a terminal would have overwritten."""
        if self._is_kept:
            return
        body, last = self._rest[:-1], self._rest[-1:]  # the last may be half a line end
        *states, after = body.split(b"\r")
        for number, state in enumerate(states):
            if not _is_text(state):
                self._keep(b"\r".join((*states[number:], after)) + last)
                return
            self._overwritten = state or self._overwritten
        self._rest = after + last

    def _keep(self, rest: bytes) -> None:
        self._is_kept = True
        self._rest = self._overwritten + b"\r" + rest if self._overwritten else rest
        self._overwritten = b""


def texts_of(line: Line) -> Iterator[tuple[str, bytes, bool]]:
    """Yield a line as log entries have it.

    Each has its text, its bytes when they are not that text in UTF-8, and whether the line goes
    on in the next.
    """
    try:
        yield line.data.decode(), b"", line.continues
    except UnicodeDecodeError:
        length = LONGEST // 3  # each byte that cannot be read becomes three
        for place in range(0, len(line.data), length):
            piece = line.data[place : place + length]
            continues = line.continues or place + length < len(line.data)
            yield piece.decode(errors="replace"), piece, continues


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _between_characters(data: bytes, place: int) -> int:
    """Return the last place up to this one at which no character of UTF-8 is cut."""
    for earlier in range(place, place - LONGEST_CHARACTER, -1):
        if data[earlier] not in CONTINUATION:
            return earlier
    return place
