"""What was said and is not yet in the spool; `drain` encodes it.

Adding takes no lock and waits for nothing: an append to a deque, or an item of a dict, is one step.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast

from trackside.capture.lines import LONGEST_MESSAGE, Line, pieces_of
from trackside.capture.masking import Masker
from trackside.delivery.blocks import encode_blocks
from trackside.delivery.wire import Item
from trackside.session.values import printable, texts_of
from trackside.spool.frames import Service
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.runs.v1.report_pb2 import RunReport

LongInteger: range = range(-(1 << 63), 1 << 63)
NANOS: Final = 1_000_000_000

_LONGEST_KEY: Final = 256
_MOST_LINES: Final = 1_000_000

Taken = TypeVar("Taken")

PointTuple = tuple[int, Mapping[str, Any], Any, Mapping[str, Any] | None]
"""Time in nanoseconds, values by key, step, context."""


@dataclass(frozen=True, slots=True)
class LineDraft:
    """A log entry that is not yet encoded."""

    time_nanos: int
    level: int
    line: Line
    stream: str
    task_id: str = ""
    context: Mapping[str, Any] | None = None
    logger: str = ""


class Reportable(Protocol):
    """A scope or task: of its states between two drains the last is reported, in its order."""

    def snapshot(self) -> RunReport | None:
        """Return the report on its present state; None if there is nothing to report."""
        ...


@dataclass(slots=True)
class _Column:
    steps: list[int]
    times_millis: list[int]
    values: list[float]


_SeriesKey = tuple[str, tuple[tuple[str, str], ...]]


class Recorder:
    """Takes in from any thread; is drained by one at a time."""

    def __init__(self, masker: Masker, complain: Callable[[str], None]) -> None:
        self._masker = masker
        self._complain = complain
        self._points: deque[PointTuple] = deque()
        self._lines: deque[LineDraft] = deque(maxlen=_MOST_LINES)
        self._reports: deque[RunReport | Reportable] = deque()
        self._next_steps: dict[_SeriesKey, int] = {}
        self.add_points: Callable[[PointTuple], None]
        self.add_line: Callable[[LineDraft], None]
        self.add_report: Callable[[RunReport], None]
        self.touch: Callable[[Reportable], None]
        """Report on this scope or task with the next drain."""
        self._listen()

    def mute(self) -> None:
        """Take in nothing from now on."""
        self.add_points = self.add_line = self.add_report = self.touch = _ignore

    def call_before_next(self, wake: Callable[[], None]) -> None:
        """Call this once, before the next thing is taken in; who comes meanwhile waits for it."""
        waking, is_awake = threading.RLock(), False

        def wake_once() -> None:
            nonlocal is_awake
            with waking:
                if not is_awake:
                    is_awake = True
                    self._listen()
                    wake()

        def first(take: str) -> Callable[[Any], None]:
            def take_first(thing: Any) -> None:  # noqa: ANN401 - of four kinds
                wake_once()
                getattr(self, take)(thing)

            return take_first

        self.add_points = first("add_points")
        self.add_line = first("add_line")
        self.add_report = first("add_report")
        self.touch = first("touch")

    def _listen(self) -> None:
        self.add_points = self._points.append
        self.add_line = self._lines.append
        self.add_report = self._reports.append
        self.touch = self._touch

    def _touch(self, thing: Reportable) -> None:
        with contextlib.suppress(IndexError):  # nothing is there, or not any more
            if self._reports[-1] is thing:
                return
        self._reports.append(thing)

    def clear(self) -> None:
        """Forget everything: in a forked child, the parent says it."""
        self._points.clear()
        self._lines.clear()
        self._reports.clear()

    def drain(self) -> dict[Service, list[Item]]:
        """Return what was said since the last time, encoded."""
        points = list(self._drain_points())  # first: what is wrong with one becomes a line
        items = {
            Service.RUNS: list(self._drain_reports()),
            Service.LOGS: list(self._drain_lines()),
            Service.METRICS: points,
        }
        return {service: each for service, each in items.items() if each}

    def _drain_reports(self) -> Iterator[Item]:
        said = list(_taken(self._reports))
        last = {id(thing): index for index, thing in enumerate(said)}
        for index, thing in enumerate(said):
            if last[id(thing)] == index:
                report = thing if isinstance(thing, RunReport) else thing.snapshot()
                if report is not None:
                    yield Item(report.SerializeToString())

    def _drain_lines(self) -> Iterator[Item]:
        for draft in _taken(self._lines):
            for piece in _fitting(draft.line):
                entry = LogEntry(
                    level=draft.level,  # pyright: ignore[reportArgumentType] - the number of one
                    message=self._masker.text(piece.message),
                    stream=draft.stream,
                    task_id=draft.task_id,
                    logger=draft.logger,
                    continues=piece.continues,
                    original=piece.original,
                )
                entry.time.seconds, entry.time.nanos = divmod(draft.time_nanos, NANOS)
                if draft.context:
                    entry.context.update(texts_of(draft.context))
                yield Item(entry.SerializeToString())

    def _drain_points(self) -> Iterator[Item]:
        columns: dict[_SeriesKey, _Column] = {}
        for time_nanos, values, step, context in _taken(self._points):
            labels = tuple(sorted(texts_of(context).items())) if context else ()
            for key, value in values.items():
                try:
                    series, number = (_key_of(key), labels), float(value)
                except (TypeError, ValueError, OverflowError) as error:
                    self._complain(f"a point was left out: {error}")
                    continue
                column = columns.get(series)
                if column is None:
                    column = columns[series] = _Column([], [], [])
                column.steps.append(self._step(series, step))
                column.times_millis.append(time_nanos // 1_000_000)
                column.values.append(number)
        for (key, labels), column in columns.items():
            yield from encode_blocks(
                key, dict(labels), column.steps, column.times_millis, column.values
            )

    def _step(self, series: _SeriesKey, given: object) -> int:
        following = self._next_steps.get(series, 0)
        step = following if given is None else _whole(given)
        if step is None:
            self._complain(f"a step must be a whole number of 64 bits, not {given!r}")
            step = following
        self._next_steps[series] = max(following, step + 1)
        return step


def _ignore(_thing: object) -> None:
    """Take in nothing."""


def _whole(given: object) -> int | None:
    """Return a step as a number; None if it is not one that can be kept."""
    try:
        step = int(cast("int", given))
    except (TypeError, ValueError, OverflowError):
        return None
    return step if step == given and step in LongInteger else None


def _key_of(key: object) -> str:
    text = printable(str(key))
    if text.isprintable() and 0 < len(text) <= _LONGEST_KEY:
        return text
    text = "".join(c if c.isprintable() else "_" for c in text)[:_LONGEST_KEY]
    if not text:
        raise ValueError("its key is empty")
    return text


def _fitting(line: Line) -> Iterator[Line]:
    """Yield the line as it is, or cut where it is longer than a message may be."""
    if line.original or line.continues or len(line.message) * 4 <= LONGEST_MESSAGE:
        yield line
    else:
        yield from pieces_of(line.message.encode(errors="replace"))


def _taken(queue: deque[Taken]) -> Iterator[Taken]:
    """Take what is in the queue now, while others go on adding."""
    for _ in range(len(queue)):
        yield queue.popleft()
