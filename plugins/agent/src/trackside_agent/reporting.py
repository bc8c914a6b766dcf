"""The reporter that runners are handed: it makes batches of what they say and spools them.

How nothing is sent twice or lost when the agent dies: beside every batch the spool keeps, in the
same frame, a note of how far the run's output was read: the runner's last position, how many bytes
of each stream were taken beyond it, and what was fed to each stream's line maker but is no line
yet. A batch and its note are there together or not at all. The next agent opens a later epoch,
finds the newest note, restores the line makers, gives the runner its position, and skips the
bytes that were already taken. What had not come as far as the spool is simply read again. No
batch is sent before it and its note are on the disk itself, so that this holds, too, when the
machine went down and took the end of the spool with it.
"""

import asyncio
import base64
import json
import time as clock
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from google.protobuf.message import Message
from typing_extensions import override

from trackside.delivery.blocks import encode_blocks
from trackside.delivery.wire import Item
from trackside.spool.frames import Service
from trackside_agent import translation
from trackside_agent.delivery import Spool
from trackside_agent.lines import LONGEST, Line, LineMaker, texts_of
from trackside_agent.masking import Mask
from trackside_plugin_interface import (
    Ending,
    ErrorReport,
    LogLevel,
    Machine,
    Output,
    OutputDirectory,
    Reporter,
    RunState,
    Scope,
    StateReason,
    Task,
    Usage,
)
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.runs.v1.report_pb2 import (
    Heartbeat,
    ProgressReport,
    RunReport,
    StateReport,
)

USAGE_SECONDS: Final = 10.0
"""What a run uses is passed on at most so often, and at its end."""

BATCH_ITEMS: Final = 500
BATCH_BYTES: Final = 128 * 1024
DRAIN_SECONDS: Final = 0.5

StreamKey = tuple[str, str]
PointKey = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a run's output was read."""

    position: str = ""
    skip: Mapping[str, int] = field(default_factory=dict[str, int])
    """Bytes taken beyond the position, by stream."""
    lines: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """The state of the line makers that are in the middle of a line, by stream."""


@dataclass(slots=True)
class Note:
    """How far the output was read, and what need not be said again. Stands beside each batch."""

    reading: Reading = field(default_factory=Reading)
    said: dict[str, str] = field(default_factory=dict[str, str])
    """What was reported last, by kind."""
    ended: bool = False
    """Whether the run's end was reported."""

    @classmethod
    def decode(cls, note: bytes) -> Self:
        """Return what `encode` was given."""
        if not note:
            return cls()
        facts = json.loads(note)
        return cls(Reading(**facts["reading"]), facts["said"], facts["ended"])

    def encode(self) -> bytes:
        """Return the note as bytes."""
        reading = self.reading
        facts = {  # not `asdict`, which takes half of the time that a batch takes
            "reading": {
                "position": reading.position,
                "skip": reading.skip,
                "lines": reading.lines,
            },
            "said": self.said,
            "ended": self.ended,
        }
        return json.dumps(facts, separators=(",", ":")).encode()


class SpoolingReporter(Reporter):
    """Spools what is said of one run. To be used on one loop."""

    def __init__(
        self, spool: Spool, note: Note, mask: Mask, hazard_of: Callable[[str], str]
    ) -> None:
        """Begin.

        Args:
            spool: What takes what is said.
            note: What was noted before.
            mask: Hides secrets.
            hazard_of: Says why nothing may be deleted below a path; nothing if it may be.
        """
        self.ending: Ending | None = None
        """How the run ended, once the runner has said so."""
        self._spool = spool
        self._note = note
        self._mask = mask
        self._hazard_of = hazard_of
        self._position = note.reading.position
        self._skip = dict(note.reading.skip)
        self._makers = {key: LineMaker.restored(state) for key, state in note.reading.lines.items()}
        self._entries: list[Item] = []
        self._entry_bytes = 0
        self._reports: list[Item] = []
        self._points: dict[PointKey, list[tuple[int, int, float]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._usage: Usage | None = None
        self._usage_time = 0.0

    @property
    @override
    def position(self) -> str:
        return self._position

    @property
    def has_ended(self) -> bool:
        """Whether the end of the run was spooled, now or by an earlier agent."""
        return self._note.ended

    @override
    def state(
        self,
        state: RunState,
        *,
        reason: StateReason | None = None,
        message: str = "",
        engine_state: str = "",
        time: float | None = None,
    ) -> None:
        report = StateReport(
            state=translation.state_value(state.value),
            reason=translation.reason_value(reason and reason.value),
            message=translation.fitting(message),
            engine_state=translation.word(engine_state),
        )
        if self._is_news("state", report):
            self.report(RunReport(state=report), time)

    @override
    def progress(self, message: str) -> None:
        self.report(RunReport(progress=ProgressReport(message=translation.fitting(message))))

    @override
    def machine(self, machine: Machine) -> None:
        provenance = translation.provenance_message(machine)
        if self._is_news("machine", provenance):
            self.report(RunReport(provenance=provenance))

    @override
    def usage(self, usage: Usage) -> None:
        self._usage = usage
        if clock.monotonic() >= self._usage_time:
            self._usage_time = clock.monotonic() + USAGE_SECONDS
            self._report_usage()

    @override
    def task(self, task: Task) -> None:
        self.report(RunReport(task=translation.task_message(task)))

    @override
    def scope(self, scope: Scope) -> None:
        self.report(RunReport(scope=translation.scope_message(scope)))

    @override
    def output_directory(self, directory: OutputDirectory) -> None:
        if not translation.can_be_told(directory.path):
            return  # so nothing is ever deleted there
        told = translation.directory_message(directory, self._hazard_of(directory.path))
        if self._is_news("output_directory", told):
            self.report(RunReport(output_directory=told))

    @override
    def publish(self, output: Output) -> None:
        self.report(RunReport(output=translation.output_message(output)))

    @override
    def error(self, error: ErrorReport) -> None:
        self.report(RunReport(error=translation.error_message(error)), error.time)

    @override
    def metric(
        self,
        key: str,
        value: float,
        *,
        step: int,
        time: float | None = None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        series = (key, tuple(sorted((context or {}).items())))
        time_millis = round((clock.time() if time is None else time) * 1000)
        points = self._points.setdefault(series, [])
        points.append((step, time_millis, value))
        self._flush_soon(now=len(points) >= BATCH_ITEMS)

    @override
    def log(
        self,
        message: str,
        *,
        level: LogLevel = LogLevel.INFO,
        stream: str = "engine",
        time: float | None = None,
        task_id: str = "",
    ) -> None:
        data = message.encode(errors="replace")
        for place in range(0, max(1, len(data)), LONGEST):
            piece = data[place : place + LONGEST]
            line = Line(piece, 0, continues=place + LONGEST < len(data))
            self._add_line(line, (stream, task_id), time, level)
        self._flush_soon()

    @override
    def write(
        self,
        data: bytes,
        *,
        stream: str,
        position: str,
        time: float | None = None,
        task_id: str = "",
    ) -> None:
        key = _name((stream, task_id))
        taken = self._skip.pop(key, 0)
        begin = min(taken, len(data))
        if taken > begin:
            self._skip[key] = taken - begin
        now = clock.time() if time is None else time
        maker = self._makers.setdefault(key, LineMaker())
        for place in range(begin, len(data), LONGEST):
            piece = data[place : place + LONGEST]
            for line in maker.feed(piece, now):
                self._add_line(line, (stream, task_id), now)
                if self._is_full():
                    self._flush({**self._skip, key: place + line.consumed})
        self._position = position
        self._flush_soon()

    @override
    async def drain(self) -> None:
        while True:
            await asyncio.sleep(0)
            if not self._spool.is_crowded():
                return
            await asyncio.sleep(DRAIN_SECONDS)

    @override
    def finished(self, ending: Ending) -> None:
        self.ending = ending

    def heartbeat(self) -> None:
        """Say that all is well, unless that could not be said now."""
        if self._spool.is_connected:
            self.report(RunReport(heartbeat=Heartbeat()))

    def end(self, reports: Iterable[RunReport]) -> None:
        """Spool what is left and then these last reports."""
        for key, maker in self._makers.items():
            for line in maker.end():
                stream, _, task_id = key.partition("\0")
                self._add_line(line, (stream, task_id), clock.time())
        self._report_usage()
        self.flush()
        self._note.ended = True
        for report in reports:
            self.report(report)
        self.flush()

    def flush(self) -> None:
        """Spool everything that was said so far."""
        self._flush(self._skip)

    def _flush(self, skip: Mapping[str, int]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reports, self._reports = self._reports, []
        points, self._points = self._points, {}
        entries, self._entries, self._entry_bytes = self._entries, [], 0
        lines = {key: maker.state() for key, maker in self._makers.items() if not maker.is_as_new}
        reading = Reading(self._position, dict(skip), lines)
        if not entries:
            self._note.reading = reading
        # Until the entries are spooled, the note says that what they are made of was not read.
        self._append(Service.RUNS, reports)
        self._append(Service.METRICS, list(_blocks(points)))
        self._note.reading = reading
        self._append(Service.LOGS, entries)

    def _append(self, service: Service, items: Sequence[Item]) -> None:
        if items:
            self._spool.append(service, items, self._note.encode())

    def _report_usage(self) -> None:
        if self._usage is not None:
            usage = translation.usage_message(self._usage)
            if self._is_news("usage", usage):
                self.report(RunReport(usage=usage))

    def _is_news(self, kind: str, report: Message) -> bool:
        said = base64.b64encode(report.SerializeToString(deterministic=True)).decode()
        is_news = self._note.said.get(kind) != said
        self._note.said[kind] = said
        return is_news

    def report(self, report: RunReport, time: float | None = None) -> None:
        """Say something, as of `time` or of the time in it."""
        if not report.HasField("time"):
            moment = clock.time() if time is None else time
            report.time.CopyFrom(translation.timestamp(moment))
        self._reports.append(Item(report.SerializeToString()))
        self._flush_soon(now=len(self._reports) >= BATCH_ITEMS)

    def _add_line(
        self, line: Line, key: StreamKey, time: float | None, level: LogLevel | None = None
    ) -> None:
        moment = translation.timestamp(clock.time() if time is None else time)
        masked = Line(self._mask(line.data), line.consumed, line.continues)
        for message, original, continues in texts_of(masked):
            entry = LogEntry(
                time=moment,
                message=message,
                stream=key[0],
                task_id=key[1],
                continues=continues,
                original=original,
            )
            if level is not None:
                entry.level = translation.level_value(level)
            item = Item(entry.SerializeToString())
            self._entries.append(item)
            self._entry_bytes += len(item.data)

    def _is_full(self) -> bool:
        return len(self._entries) >= BATCH_ITEMS or self._entry_bytes >= BATCH_BYTES

    def _flush_soon(self, *, now: bool = False) -> None:
        if now:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._spool.gather_seconds, self._flush_late)

    def _flush_late(self) -> None:
        self._timer = None
        now = clock.time()
        waiting = False
        for key, maker in self._makers.items():
            stream, _, task_id = key.partition("\0")
            for line in maker.overwritten(now):
                self._add_line(line, (stream, task_id), now)
            waiting = waiting or maker.has_overwritten
        self.flush()
        if waiting:
            self._flush_soon()


def _blocks(points: Mapping[PointKey, list[tuple[int, int, float]]]) -> Iterator[Item]:
    for (key, context), rows in points.items():
        steps, times, values = zip(*rows, strict=True)
        yield from encode_blocks(key, dict(context), steps, times, values)


def _name(key: StreamKey) -> str:
    return "\0".join(key)
