"""Single log entries with their place in the run, taken out of the blocks that services send."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry, LogLevel


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry of a run's log."""

    sequence: int
    entry: LogEntry
    late: bool = False

    def __str__(self) -> str:
        return self.message

    @property
    def time(self) -> datetime:
        """When it was written, by the writer's clock."""
        return self.entry.time.ToDatetime(UTC)

    @property
    def level(self) -> str:
        """How serious it is, for example `WARNING`; empty when not known."""
        return level_name(self.entry.level)

    @property
    def message(self) -> str:
        """The text, without its line end."""
        return self.entry.message

    @property
    def stream(self) -> str:
        """Where it came from, for example `stdout`."""
        return self.entry.stream

    @property
    def task_id(self) -> str:
        """The task it belongs to; may be empty."""
        return self.entry.task_id

    @property
    def context(self) -> dict[str, str]:
        """Fold, branch, variant and so on."""
        return dict(self.entry.context)


def level_name(level: int) -> str:
    """Return the name of a level without its prefix; empty when it is not known."""
    value = LogLevel.DESCRIPTOR.values_by_number.get(level)
    return value.name.removeprefix("LOG_LEVEL_") if value is not None and level else ""


def chosen_levels(levels: str | Iterable[str]) -> "list[LogLevel.ValueType]":
    """Return levels by name; a single name stands for itself and all above it.

    Raises:
        ValueError: There is no level of such a name.
    """
    if not isinstance(levels, str):
        return [_level(name) for name in levels]
    if not levels:
        return []
    lowest = _level(levels)
    return [level for level in LogLevel.values() if level >= lowest]


def _level(name: str) -> "LogLevel.ValueType":
    return LogLevel.Value(f"LOG_LEVEL_{name.upper()}")


def lines_of(blocks: Iterable[LogBlock]) -> Iterator[LogLine]:
    """Yield the entries of blocks, each with its sequence."""
    for block in blocks:
        first = block.first_sequence
        sequences = block.sequences or range(first, first + len(block.entries))
        for sequence, entry in zip(sequences, block.entries, strict=True):
            yield LogLine(sequence, entry, block.late)
