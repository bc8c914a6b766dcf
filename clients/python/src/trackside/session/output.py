"""What this program and its children write to the standard streams, as log entries."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from trackside.capture.descriptors import CapturedDescriptor, CaptureError
from trackside.capture.expected_lines import ExpectedLines
from trackside.capture.lines import Line
from trackside.capture.masking import Masker
from trackside.capture.printing_tap import PrintingTap
from trackside.session.place import Place, within
from trackside.session.recorder import LineDraft, Recorder

_STREAMS: Final = {1: "stdout", 2: "stderr"}
_MOST_ECHOES, _OVERTAKEN_ECHOES = 1_000, 64


class _Around(NamedTuple):
    task_id: str
    context: dict[str, str]


_NOWHERE: Final = _Around("", {})


class _Stream:
    """One of the streams while it is captured."""

    def __init__(self, captured: CapturedDescriptor, printed: PrintingTap[Place, _Around]) -> None:
        self.captured = captured
        self.printed = printed
        self.echoes = ExpectedLines[bool](_MOST_ECHOES, _OVERTAKEN_ECHOES)


def _around(place: Place) -> _Around:
    return _Around(place.task_id, place.context())


class Output:
    """Takes up what is written, from `begin` to `end`; driven by one thread at a time.

    A line that Python has printed carries the scope and task in which that was.
    """

    def __init__(
        self, run_id: str, recorder: Recorder, masker: Masker, complain: Callable[[str], None]
    ) -> None:
        self._run_id = run_id
        self._recorder = recorder
        self._masker = masker
        self._complain = complain
        self._streams: dict[str, _Stream] = {}

    def begin(self, folder: Path) -> None:
        """Begin, with what is needed for it in this folder."""
        for descriptor, name in _STREAMS.items():
            try:
                captured = CapturedDescriptor(descriptor, folder, self._masker)
            except CaptureError as error:
                self._complain(f"the {name} of this program is not captured: {error}")
            else:
                text, mask = getattr(sys, name), self._masker.text
                printed = PrintingTap(
                    text, descriptor, partial(within, self._run_id), _around, mask
                )
                self._streams[name] = _Stream(captured, printed)

    def expect_echo(self, stream: str, text: str) -> None:
        """Leave these lines out, which are log entries already; from any thread."""
        captured = self._streams.get(stream)  # once: `end` may come at any moment
        if captured is not None:
            for line in text.split("\n"):
                captured.echoes.expect(line, True)  # noqa: FBT003 - no more is known

    def take_up(self, now: float) -> None:
        """Take up what was written since the last time; `now` is on the monotonic clock."""
        for name, stream in self._streams.items():
            self._take_lines(name, stream, stream.captured.read(now))

    def end(self) -> None:
        """Let the output go where it went before, and take up the last of it."""
        for name, stream in self._streams.items():
            stream.printed.close()
            self._take_lines(name, stream, stream.captured.stop())
        self._streams.clear()

    def leave_to_parent(self) -> None:
        """Take up nothing more: this process was forked off, and the parent does it."""
        for stream in self._streams.values():
            stream.printed.close()
        self._streams.clear()

    def _take_lines(self, name: str, stream: _Stream, lines: Sequence[Line]) -> None:
        now = time.time_ns()
        for line in lines:
            task_id, context = stream.printed.around(line.message) or _NOWHERE
            if not stream.echoes.meet(line.message):
                self._recorder.add_line(LineDraft(now, 0, line, name, task_id, context))
        if stream.captured.complaint:
            words = stream.captured.complaint
            self._complain(f"the {name} of this program is not kept whole: {words}")
