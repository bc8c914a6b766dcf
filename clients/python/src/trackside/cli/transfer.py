"""How far a download is, as one line of a terminal that is written again and again."""

import os
import time
from typing import Final, TextIO

from trackside.cli.safe_text import harmless_cell
from trackside.client.sizes import size_text

_CLEAR: Final = "\r\x1b[K"
_PAUSE_SECONDS: Final = 0.1
_LONGEST_NAME: Final = 40


class Transfer:
    """Shows one download after the other; off a terminal, nothing."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._is_shown = to.isatty() and os.environ.get("TERM") != "dumb"
        self._name = ""
        self._began = self._said = 0.0
        self._had = -1

    def begin(self, path: str) -> None:
        """Begin with the next one."""
        name = harmless_cell(path)
        self._name = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
        self._began, self._said, self._had = time.monotonic(), 0.0, -1

    def progress(self, done: int, size: int) -> None:
        """Show how many bytes there are, of how many."""
        now = time.monotonic()
        if self._had < 0:
            self._had = done  # what an earlier download has left was not carried now
        if not self._is_shown or now - self._said < _PAUSE_SECONDS:
            return
        self._said = now
        self._to.write(f"{_CLEAR}{self._line(done, size, now - self._began)}")
        self._to.flush()

    def end(self) -> None:
        """Leave the line empty for what comes next."""
        if self._is_shown and self._said:
            self._to.write(_CLEAR)
            self._to.flush()

    def _line(self, done: int, size: int, seconds: float) -> str:
        percent = f"{done / size:.0%}" if size else "100%"
        rate = f", {size_text((done - self._had) / seconds)}/s" if seconds > 1 else ""
        return f"{self._name}  {percent}  {size_text(done)} of {size_text(size)}{rate}"
