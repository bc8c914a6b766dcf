"""Log entries as lines of text."""

from collections.abc import Mapping
from typing import Final

from trackside.cli.paint import Paint, Style
from trackside.cli.parameters import labels_text
from trackside.cli.safe_text import harmless
from trackside.cli.times import clock, is_set, rfc3339
from trackside.client.log_lines import LogLine

_STYLES: Final[Mapping[str, Style]] = {
    "DEBUG": Style.FAINT,
    "WARNING": Style.NOTABLE,
    "ERROR": Style.BAD,
    "CRITICAL": Style.BAD,
}


class LogText:
    """Turns entries into text; puts together a long line that came in several entries."""

    def __init__(self, paint: Paint, *, timestamps: bool = False, label: str = "") -> None:
        self._paint = paint
        self._timestamps = timestamps
        self._label = label
        self._open_stream: str | None = None

    def text(self, line: LogLine) -> str:
        """Return what to write for an entry, with its line end if the line ends."""
        goes_on = self._open_stream == line.stream
        broken = "\n" if self._open_stream is not None and not goes_on else ""
        self._open_stream = line.stream if line.entry.continues else None
        before = "" if goes_on else self._before(line)
        message = self._paint.text(harmless(line.message), _STYLES.get(line.level, Style.PLAIN))
        return f"{broken}{before}{message}" + ("" if line.entry.continues else "\n")

    def _before(self, line: LogLine) -> str:
        parts: list[str] = []
        if self._label:
            parts.append(self._paint.text(self._label, Style.BUSY))
        if self._timestamps and is_set(line.entry.time):
            parts.append(self._paint.text(rfc3339(line.entry.time), Style.FAINT))
        if line.late:
            parts.append(self._paint.text("(late)", Style.NOTABLE))
        if line.level:
            parts.append(self._paint.text(f"{line.level:<8}", _STYLES.get(line.level, Style.PLAIN)))
        if line.entry.context:
            parts.append(self._paint.text(f"[{labels_text(line.entry.context)}]", Style.FAINT))
        return " ".join(parts) + " " if parts else ""


class RawLog:
    """Turns entries into the bytes that were written; harmless only where nothing obeys them."""

    def __init__(self, *, timestamps: bool = False) -> None:
        self._timestamps = timestamps
        self._open_stream: str | None = None

    def bytes(self, line: LogLine) -> bytes:
        """Return what was written, with its line end if the line ends."""
        goes_on = self._open_stream == line.stream
        broken = b"\n" if self._open_stream is not None and not goes_on else b""
        self._open_stream = line.stream if line.entry.continues else None
        before = b""
        if self._timestamps and not goes_on and is_set(line.entry.time):
            before = f"{rfc3339(line.entry.time)} ".encode()
        written = line.entry.original or line.message.encode()
        return broken + before + written + (b"" if line.entry.continues else b"\n")


def tail_line(line: LogLine, paint: Paint, label: str = "") -> str:
    """Return one entry as one line with the time of day, for a page that shows the last ones."""
    before = paint.text(clock(line.entry.time), Style.FAINT) if is_set(line.entry.time) else ""
    text = LogText(paint, label=label).text(line).removesuffix("\n")
    return f"{before}  {text}" if before else text
