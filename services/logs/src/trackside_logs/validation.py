"""What a batch of entries must be like, and what is known of it once it has been checked.

Ordinary batches are checked by columns. Whatever is out of the ordinary there, right or wrong,
is checked entry by entry, which is slower and says precisely what is wrong.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf import timestamp_pb2
from google.protobuf.message import DecodeError

from trackside_journal import wire
from trackside_logs.columns import Columns, read_columns
from trackside_protos.logs.v1 import log_entry_pb2, logs_service_pb2
from trackside_serving.errors import (
    InvalidFieldError,
    MalformedMessageError,
    TooManyItemsError,
    Violation,
)

ENTRY_LIMIT: Final = 10_000
MESSAGE_BYTES: Final = 65_536
STREAM_CHARACTERS: Final = 64
TASK_ID_CHARACTERS: Final = 128
LOGGER_CHARACTERS: Final = 256
CONTEXT_KEYS: Final = 32
CONTEXT_KEY_CHARACTERS: Final = 128
CONTEXT_VALUE_CHARACTERS: Final = 4096

LEVELS: Final = frozenset(log_entry_pb2.LogLevel.values())

_EARLIEST_SECOND: Final = -62_135_596_800
_LATEST_SECOND: Final = 253_402_300_799
_NANOS: Final = 1_000_000_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TOLD_VIOLATIONS: Final = 8
_COUNT_FIRST_BYTES: Final = 1 << 20
_ENTRIES_TAG: Final = 2 << 3 | 2


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a batch's entries."""

    body: bytes
    """The encoded entries and nothing else: field 2 of the request, and of a `LogBlock`."""
    count: int
    levels: int
    """A bit for each level that may be there, 1 << level."""
    earliest: int | None
    """No time is before this second since 1970; None: there are no times."""
    latest: int | None
    """No time is after this second."""


def examine(raw: bytes, body_offset: int) -> Traits:
    """Return the traits of an encoded `AppendLogsRequest`.

    Args:
        raw: The request.
        body_offset: Where its entries begin; 0 when that is not known.

    Raises:
        MalformedMessageError: The bytes are no request.
        TooManyItemsError: There are too many entries.
        InvalidFieldError: A field is wrong.
    """
    body = raw[body_offset:]
    if len(body) > _COUNT_FIRST_BYTES:
        _count_first(body)
    try:
        columns = read_columns(body) if body_offset else None
        if columns is None:
            body = _entries_only(raw)
            columns = read_columns(body)
        assert columns is not None, "there is nothing but entries"
        _check_count(columns.count)
        if not _is_plainly_right(columns):
            _check_each(log_entry_pb2.LogBlock.FromString(body))
    except DecodeError as error:
        raise MalformedMessageError from error
    return _traits(body, columns)


def _traits(body: bytes, columns: Columns) -> Traits:
    mask = sum(1 << level for level in columns.levels)
    if columns.level_count != columns.count:
        mask |= 1
    if columns.seconds is not None and columns.seconds_count == columns.count:
        return Traits(body, columns.count, mask, *columns.seconds)
    return Traits(body, columns.count, mask, *_range_of_some(body))


def _range_of_some(body: bytes) -> tuple[int | None, int | None]:
    """Return the range of the times when an entry has none, or one in the first second of 1970."""
    entries = log_entry_pb2.LogBlock.FromString(body).entries
    seconds = [entry.time.seconds for entry in entries if entry.HasField("time")]
    return (min(seconds), max(seconds)) if seconds else (None, None)


def _entries_only(raw: bytes) -> bytes:
    request = logs_service_pb2.AppendLogsRequest.FromString(raw)
    return log_entry_pb2.LogBlock(entries=request.entries).SerializeToString()


def _check_count(count: int) -> None:
    if not count:
        field = "entries"
        raise InvalidFieldError.of(field, f"not 1 to {ENTRY_LIMIT}")
    if count > ENTRY_LIMIT:
        message = f"A batch has more than {ENTRY_LIMIT} entries."
        raise TooManyItemsError(message)


def _count_first(body: bytes) -> None:
    """Refuse a large batch of many small entries before it is parsed into as many objects."""
    count = offset = 0
    try:
        while offset < len(body) and count <= ENTRY_LIMIT:
            tag, offset = wire.read_varint(body, offset)
            length, offset = wire.read_varint(body, offset)
            offset += length
            count += tag == _ENTRIES_TAG
    except ValueError:
        raise MalformedMessageError from None
    _check_count(max(1, count))


def _is_plainly_right(columns: Columns) -> bool:
    longest, texts = columns.longest, columns.texts
    return (
        longest <= CONTEXT_VALUE_CHARACTERS  # then no message and no value is too long either
        and _have_right_numbers(columns)
        and all(map(_is_stream, set(texts.stream[:])))
        and (longest <= TASK_ID_CHARACTERS or _all_within(texts.task_id, TASK_ID_CHARACTERS))
        and (longest <= LOGGER_CHARACTERS or _all_within(texts.logger, LOGGER_CHARACTERS))
        and len(texts.context) <= CONTEXT_KEYS
        and all(map(_is_context_key, texts.context))
    )


def _have_right_numbers(columns: Columns) -> bool:
    earliest, latest = columns.seconds or (0, 0)
    least, greatest = columns.nanos or (0, 0)
    return (
        columns.levels <= LEVELS
        and earliest >= _EARLIEST_SECOND
        and latest <= _LATEST_SECOND
        and least >= 0
        and greatest < _NANOS
    )


def _all_within(texts: Sequence[str], limit: int) -> bool:
    return max(map(len, texts[:]), default=0) <= limit


def _is_stream(name: str) -> bool:
    return len(name) <= STREAM_CHARACTERS and not _CONTROL.search(name)


def _is_context_key(key: str) -> bool:
    return 0 < len(key) <= CONTEXT_KEY_CHARACTERS


def _check_each(block: log_entry_pb2.LogBlock) -> None:
    violations = [
        Violation(f"entries[{index}].{field}", description)
        for index, entry in enumerate(block.entries)
        for field, description in _faults(entry)
    ]
    if violations:
        first, count = violations[0], len(violations)
        more = f" ({count - 1} more)" if count > 1 else ""
        message = f"{first.field}: {first.description}{more}"
        raise InvalidFieldError(message, violations=violations[:_TOLD_VIOLATIONS])


def _faults(entry: log_entry_pb2.LogEntry) -> Iterator[tuple[str, str]]:
    """Yield the fields of an entry that are wrong, and what is wrong with each."""
    if not is_time(entry.time):
        yield "time", "not a time of the years 1 to 9999"
    if entry.level not in LEVELS:
        yield "level", f"{entry.level} is no level"
    if len(entry.message.encode()) > MESSAGE_BYTES:
        yield "message", f"longer than {MESSAGE_BYTES} bytes"
    if len(entry.original) > MESSAGE_BYTES:
        yield "original", f"longer than {MESSAGE_BYTES} bytes"
    if not _is_stream(entry.stream):
        yield "stream", f"longer than {STREAM_CHARACTERS} characters, or has control characters"
    if len(entry.task_id) > TASK_ID_CHARACTERS:
        yield "task_id", f"longer than {TASK_ID_CHARACTERS} characters"
    if len(entry.logger) > LOGGER_CHARACTERS:
        yield "logger", f"longer than {LOGGER_CHARACTERS} characters"
    yield from _context_faults(entry.context)


def _context_faults(context: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if len(context) > CONTEXT_KEYS:
        yield "context", f"more than {CONTEXT_KEYS} keys"
    if not all(map(_is_context_key, context)):
        yield "context", f"a key is not 1 to {CONTEXT_KEY_CHARACTERS} characters"
    if any(len(value) > CONTEXT_VALUE_CHARACTERS for value in context.values()):
        yield "context", f"a value is longer than {CONTEXT_VALUE_CHARACTERS} characters"


def is_time(time: timestamp_pb2.Timestamp) -> bool:
    """Whether a timestamp is one of the years 1 to 9999, as the well-known type demands."""
    return _EARLIEST_SECOND <= time.seconds <= _LATEST_SECOND and 0 <= time.nanos < _NANOS
