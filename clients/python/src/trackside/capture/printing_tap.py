"""Sees which lines go through a text stream of Python, such as those of `print`."""

import io
from collections.abc import Callable
from typing import Any, Final, Generic, TextIO, TypeVar

from trackside.capture.expected_lines import ExpectedLines
from trackside.capture.lines import LONGEST_MESSAGE

Place = TypeVar("Place")
Around = TypeVar("Around")

_MOST_LINES: Final = 100_000
_OVERTAKEN_LINES: Final = 10_000


class PrintingTap(Generic[Place, Around]):
    """Notes what is around each line when it is printed, until `close`.

    The stream stays the object that it is, for others hold it too.
    """

    def __init__(
        self,
        stream: TextIO,
        descriptor: int,
        place: Callable[[], Place | None],
        around: Callable[[Place], Around],
        mask: Callable[[str], str],
    ) -> None:
        """Begin, if the stream is one of Python's own that goes to this descriptor.

        Args:
            stream: The one that is printed to.
            descriptor: Where it should go.
            place: Where the caller is, asked for each piece that is printed; None is nowhere.
            around: What is to be known of a line that was printed there, as it is now.
            mask: What becomes of a line's text before it comes out.
        """
        self._stream: Any = stream if _goes_to(stream, descriptor) else None
        self._place = place
        self._around = around
        self._mask = mask
        self._lines = ExpectedLines[Around](_MOST_LINES, _OVERTAKEN_LINES)
        self._begun = ""
        if self._stream is not None:
            self._write: Callable[[str], int] = stream.write
            self._tap = self._tapped
            self._stream.write = self._tap

    def around(self, line: str) -> Around | None:
        """Return what was around a line that came out of the descriptor; called by one thread."""
        return self._lines.meet(line)

    def close(self) -> None:
        """Note nothing more."""
        stream, self._stream = self._stream, None
        if stream is not None and vars(stream).get("write") is self._tap:
            del stream.write

    def _tapped(self, text: str, /) -> int:
        place = self._place()
        if place is not None or self._begun:
            self._note(text, place)
        return self._write(text)

    def _note(self, text: str, place: Place | None) -> None:
        # Threads that print pieces of lines at once lose what was around these, nothing else.
        if "\n" not in text:
            self._begun = f"{self._begun}{text}"[-LONGEST_MESSAGE:]
            return
        *ended, self._begun = f"{self._begun}{text}".split("\n")
        if place is not None:
            around = self._around(place)
            for line in ended:
                last_state = line.removesuffix("\r").rpartition("\r")[2]
                self._lines.expect(self._mask(last_state), around)


def _goes_to(stream: TextIO, descriptor: int) -> bool:
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == descriptor
    except (OSError, ValueError):
        return False
