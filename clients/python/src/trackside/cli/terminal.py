"""Where a command writes: results to stdout, everything else to stderr."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from trackside.cli.pager import fits, show_paged
from trackside.cli.paint import Paint, paint_for
from trackside.cli.safe_text import harmless

_NARROWEST: Final = 40


@dataclass(frozen=True, slots=True)
class Terminal:
    """The streams of one command and how much decoration each takes."""

    out: TextIO
    err: TextIO
    paint: Paint
    err_paint: Paint
    width: int | None
    """The columns of stdout; `None` when it is no terminal and nothing need be cut."""

    @classmethod
    def of_process(cls) -> "Terminal":
        """Return the streams of this process."""
        out, err = sys.stdout, sys.stderr
        width = max(_NARROWEST, shutil.get_terminal_size().columns) if out.isatty() else None
        return cls(out, err, paint_for(out), paint_for(err), width)

    @property
    def is_live(self) -> bool:
        """Whether stdout is a terminal that can be drawn on again and again."""
        return self.out.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to answer a question."""
        return sys.stdin.isatty()

    def answer_to(self, question: str) -> str:
        """Ask the person and return what is typed; what comes next begins on a line of its own."""
        self.out.flush()
        self.err.write(question)
        self.err.flush()
        line = ""
        try:
            line = sys.stdin.readline()
        finally:
            if not line.endswith("\n"):  # Ctrl-C and Ctrl-D leave the cursor where it is
                self.say("")
        return line.strip()

    def show(self, lines: Iterable[str]) -> None:
        """Write result lines to stdout."""
        self.out.writelines(f"{line}\n" for line in lines)
        self.out.flush()

    def show_long(self, lines: Sequence[str], *, paged: bool = True) -> None:
        """Write result lines to stdout; what does not fit on a terminal goes through a pager."""
        if not (paged and self.is_live) or fits(lines) or not show_paged(lines):
            self.show(lines)

    def show_exactly(self, lines: Iterable[str]) -> None:
        """Write lines for programs to stdout: as they are, but harmless on a terminal."""
        self.show(map(harmless, lines) if self.out.isatty() else lines)

    def say(self, *lines: str) -> None:
        """Write lines for the person to stderr, after what stdout has so far."""
        self.out.flush()
        self.err.writelines(f"{line}\n" for line in lines)
        self.err.flush()
