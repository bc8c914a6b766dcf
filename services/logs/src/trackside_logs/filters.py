"""Filters: which entries are wanted, decided as early as it can be.

First by the columns beside a chunk, then by the bytes of its content, and only then by its
entries. Each step may let through what a later one drops, never the other way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf import timestamp_pb2

from trackside_logs.blocks import Test
from trackside_logs.validation import LEVELS, TASK_ID_CHARACTERS, is_time
from trackside_protos.logs.v1 import log_entry_pb2, logs_service_pb2
from trackside_serving.errors import InvalidFieldError, Violation

TEXT_CHARACTERS: Final = 1024
NAMES: Final = 100
"""How many streams or context keys a filter may name."""

_FOLDS_TO_ASCII: Final[Mapping[str, str]] = {
    "a": "ẚ",
    "f": "ﬀﬁﬂﬃﬄ",
    "h": "ẖ",
    "i": "İﬁﬃ",
    "j": "ǰ",
    "k": "\N{KELVIN SIGN}",
    "l": "ﬂﬄ",
    "n": "ŉ",
    "s": "ßſẞﬅﬆ",
    "t": "ẗﬅﬆ",
    "w": "ẘ",
    "y": "ẙ",
}
"""For each ASCII letter the other characters whose case folding has it. A test compares."""

Moment = tuple[int, int]
"""Seconds and nanoseconds."""


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """A filter that has been checked. `EntryFilter()` wants everything."""

    levels: frozenset[int] = frozenset()
    streams: frozenset[str] = frozenset()
    task_id: str = ""
    context: tuple[tuple[str, str], ...] = ()
    text: str = ""
    """Case-folded."""
    start: Moment | None = None
    end: Moment | None = None

    def __bool__(self) -> bool:
        return self != _EVERYTHING

    @property
    def level_mask(self) -> int:
        """A bit for each level that is wanted; 0: all are."""
        return sum(1 << level for level in self.levels)

    @property
    def tests(self) -> list[Test]:
        """The tests that a wanted entry passes, the cheapest first."""
        tests: list[Test] = []
        if self.levels:
            tests.append(lambda entry: entry.level in self.levels)
        if self.streams:
            tests.append(lambda entry: entry.stream in self.streams)
        if self.task_id:
            tests.append(lambda entry: entry.task_id == self.task_id)
        if self.start is not None or self.end is not None:
            tests.append(self._is_in_time)
        if self.context:
            tests.append(self._has_context)
        if self.text:
            tests.append(lambda entry: self.text in entry.message.casefold())
        return tests

    def may_want_of(self, content: bytes) -> bool:
        """Whether a content may have a wanted entry, as far as its bytes tell without parsing."""
        if self.task_id and self.task_id.encode() not in content:
            return False
        if not self.text.isascii() or self.text.encode() in content.lower():
            return True
        odd = (
            character for letter in set(self.text) for character in _FOLDS_TO_ASCII.get(letter, ())
        )
        return any(character.encode() in content for character in odd)

    def _is_in_time(self, entry: log_entry_pb2.LogEntry) -> bool:
        if not entry.HasField("time"):
            return False
        moment = (entry.time.seconds, entry.time.nanos)
        return (self.start is None or moment >= self.start) and (
            self.end is None or moment < self.end
        )

    def _has_context(self, entry: log_entry_pb2.LogEntry) -> bool:
        context = entry.context
        return all(context.get(key) == value for key, value in self.context)


_EVERYTHING: Final = EntryFilter()


def read_filter(message: logs_service_pb2.LogFilter) -> EntryFilter:
    """Return a filter as it was asked for.

    Raises:
        InvalidFieldError: A field is wrong.
    """
    violations = _violations(message)
    if violations:
        first = violations[0]
        raise InvalidFieldError(f"{first.field}: {first.description}", violations=violations)
    return EntryFilter(
        levels=frozenset(message.levels),
        streams=frozenset(message.streams),
        task_id=message.task_id,
        context=tuple(sorted(message.context.items())),
        text=message.text.casefold(),
        start=_moment(message.start_time) if message.HasField("start_time") else None,
        end=_moment(message.end_time) if message.HasField("end_time") else None,
    )


def _violations(message: logs_service_pb2.LogFilter) -> list[Violation]:
    faults = [
        (f"levels[{index}]", f"{level} is no level")
        for index, level in enumerate(message.levels[:NAMES])
        if level not in LEVELS
    ]
    if len(message.levels) > NAMES:
        faults.append(("levels", f"more than {NAMES}"))
    if len(message.streams) > NAMES:
        faults.append(("streams", f"more than {NAMES}"))
    if len(message.context) > NAMES:
        faults.append(("context", f"more than {NAMES} keys"))
    if len(message.task_id) > TASK_ID_CHARACTERS:
        faults.append(("task_id", f"longer than {TASK_ID_CHARACTERS} characters"))
    if len(message.text) > TEXT_CHARACTERS:
        faults.append(("text", f"longer than {TEXT_CHARACTERS} characters"))
    faults.extend(
        (field, "not a time of the years 1 to 9999")
        for field, time in (("start_time", message.start_time), ("end_time", message.end_time))
        if not is_time(time)
    )
    return [Violation(f"filter.{field}", description) for field, description in faults[:8]]


def _moment(time: timestamp_pb2.Timestamp) -> Moment:
    return time.seconds, time.nanos
