"""Encoded blocks: made from a batch without decoding it, and cut to a range or a selection.

Contents are encoded `WatchLogsResponse` messages that have `blocks` and nothing else. They may be
concatenated, kept, and sent to watchers as they are.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trackside_journal import wire
from trackside_logs.validation import Traits
from trackside_protos.logs.v1 import log_entry_pb2, logs_service_pb2

CONTENT_BYTES: Final = 256 << 10
"""How large a content may get by joining smaller ones."""

_BLOCK_BYTES: Final = 128 << 10
_BLOCKS: Final = logs_service_pb2.WatchLogsResponse.BLOCKS_FIELD_NUMBER
_FIRST_SEQUENCE: Final = log_entry_pb2.LogBlock.FIRST_SEQUENCE_FIELD_NUMBER
_RECEIVE_TIME: Final = log_entry_pb2.LogBlock.RECEIVE_TIME_FIELD_NUMBER
_PRODUCER_ID: Final = log_entry_pb2.LogBlock.PRODUCER_ID_FIELD_NUMBER
_LATE: Final = log_entry_pb2.LogBlock.LATE_FIELD_NUMBER

Test = Callable[[log_entry_pb2.LogEntry], bool]
"""Says whether an entry is wanted."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the entries of one batch have in common."""

    receive_time: bytes
    """An encoded Timestamp."""
    producer_id: str
    late: bool

    def encode(self) -> bytes:
        """Return the fields of a `LogBlock` that come after the entries."""
        return b"".join(
            (
                wire.bytes_field(
                    log_entry_pb2.LogBlock.RECEIVE_TIME_FIELD_NUMBER, self.receive_time
                ),
                wire.bytes_field(
                    log_entry_pb2.LogBlock.PRODUCER_ID_FIELD_NUMBER, self.producer_id.encode()
                ),
                wire.varint_field(_LATE, 1) if self.late else b"",
            )
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A content that holds the entries from one sequence to another."""

    first: int
    last: int
    content: bytes


def encode_parts(first_sequence: int, traits: Traits, origin: Origin) -> Iterator[Part]:
    """Yield the contents for a batch's entries: one, or several if it is large."""
    ending = origin.encode()
    first = first_sequence
    for count, entries in _split(traits):
        block = wire.varint_field(_FIRST_SEQUENCE, first) + entries + ending
        yield Part(first, first + count - 1, wire.bytes_field(_BLOCKS, block))
        first += count


def _split(traits: Traits) -> Iterator[tuple[int, bytes]]:
    body = traits.body
    if len(body) <= CONTENT_BYTES:
        yield traits.count, body
        return
    count = start = offset = 0
    while offset < len(body):
        _, offset_of_length = wire.read_varint(body, offset)
        length, payload = wire.read_varint(body, offset_of_length)
        end = payload + length
        if count and end - start > _BLOCK_BYTES:
            yield count, body[start:offset]
            count, start = 0, offset
        count += 1
        offset = end
    yield count, body[start:]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries to select: of a range, those that pass all tests, so many from one end."""

    after: int
    through: int
    tests: Sequence[Test] = ()
    limit: int | None = None
    from_end: bool = False


@dataclass(slots=True)
class Selection:
    """The entries that were selected from a content."""

    content: bytes = b""
    count: int = 0
    first: int = 0
    """The sequence of the first of them."""
    last: int = 0
    """The sequence of the last of them."""


Numbered = tuple[int, log_entry_pb2.LogEntry]


def select(content: bytes, wanted: Wanted) -> Selection:
    """Return the entries of a content that are wanted, as a content."""
    blocks = logs_service_pb2.WatchLogsResponse.FromString(content).blocks
    left = sys.maxsize if wanted.limit is None else wanted.limit
    chosen: list[tuple[log_entry_pb2.LogBlock, list[Numbered]]] = []
    for block in reversed(blocks) if wanted.from_end else blocks:
        numbered = _wanted_of(block, wanted)
        numbered = numbered[-left:] if wanted.from_end else numbered[:left]
        left -= len(numbered)
        if numbered:
            chosen.append((block, numbered))
        if not left:
            break
    return _selection(chosen[::-1] if wanted.from_end else chosen)


def _wanted_of(block: log_entry_pb2.LogBlock, wanted: Wanted) -> list[Numbered]:
    first = block.first_sequence
    low, high = max(0, wanted.after + 1 - first), wanted.through + 1 - first
    if high <= 0 or low >= len(block.entries):
        return []
    numbered = list(enumerate(block.entries[low:high], first + low))
    for test in wanted.tests:
        numbered = [pair for pair in numbered if test(pair[1])]
    return numbered


def _selection(chosen: Sequence[tuple[log_entry_pb2.LogBlock, list[Numbered]]]) -> Selection:
    if not chosen:
        return Selection()
    response = logs_service_pb2.WatchLogsResponse()
    response.blocks.extend(_reduced(block, numbered) for block, numbered in chosen)
    return Selection(
        response.SerializeToString(),
        sum(len(numbered) for _, numbered in chosen),
        chosen[0][1][0][0],
        chosen[-1][1][-1][0],
    )


def _reduced(block: log_entry_pb2.LogBlock, numbered: Sequence[Numbered]) -> log_entry_pb2.LogBlock:
    """Return a block with only these of its entries."""
    if len(numbered) == len(block.entries):
        return block
    first, last = numbered[0][0], numbered[-1][0]
    reduced = log_entry_pb2.LogBlock(
        first_sequence=first,
        entries=(entry for _, entry in numbered),
        receive_time=block.receive_time,
        producer_id=block.producer_id,
        late=block.late,
    )
    if last - first + 1 != len(numbered):
        reduced.sequences.extend(sequence for sequence, _ in numbered)
    return reduced
