"""The encoded form of a `PointBlock`: found its way around in without parsing, and put together.

What is stored and sent is the canonical form: the identity (key and context, "prefix" here),
the three columns, packed, in order of their numbers, then what the service adds: the sequence
and, if it is so, the late mark. Most producers send that form already; whatever else is legal
is brought into it when it comes in. So the prefix serves as the name of a series, and the
columns can be read where they lie.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from trackside_journal import wire
from trackside_journal.chunks import Floats, Ints
from trackside_metrics.shadows import BLOCK_LISTS
from trackside_protos.metrics.v1 import series_pb2

_SEQUENCE: Final = series_pb2.PointBlock.SEQUENCE_FIELD_NUMBER
_LATE: Final = series_pb2.PointBlock.LATE_FIELD_NUMBER
_KEY_TAG: Final = series_pb2.PointBlock.KEY_FIELD_NUMBER << 3 | 2
_CONTEXT_TAG: Final = series_pb2.PointBlock.CONTEXT_FIELD_NUMBER << 3 | 2
_STEPS_TAG: Final = series_pb2.PointBlock.STEPS_FIELD_NUMBER << 3 | 2
_TIMES_TAG: Final = series_pb2.PointBlock.TIMES_MILLIS_FIELD_NUMBER << 3 | 2
_VALUES_TAG: Final = series_pb2.PointBlock.VALUES_FIELD_NUMBER << 3 | 2
_SEQUENCE_TAG: Final = bytes((_SEQUENCE << 3,))
_LATE_MARK: Final = wire.varint_field(_LATE, 1)
_BLOCKS_TAG: Final = b"\x0a"

ONE_POINT_BYTES: Final = 30
"""How long the columns of one point are: three times tag, length and eight bytes."""

ONE_POINT: Final = np.dtype(
    [
        ("steps_tag", "<u2"),
        ("step", "<i8"),
        ("times_tag", "<u2"),
        ("time", "<i8"),
        ("values_tag", "<u2"),
        ("value", "<f8"),
    ]
)
"""The columns of one point, as they are encoded."""

_TAGS: Final = tuple(tag | 8 << 8 for tag in (_STEPS_TAG, _TIMES_TAG, _VALUES_TAG))
_TAGS_OF_ONE: Final = struct.Struct("<H8xH8xH8x")


Selector = slice | Ints | npt.NDArray[np.bool_]
"""Chooses points."""


class Layout(NamedTuple):
    """Where things are in a canonical block."""

    prefix: int
    """Where the identity ends."""
    points: int
    """How many there are."""
    steps: int
    times: int
    values: int
    end: int
    """Where the values end; behind it is what the service added."""


class Columns(NamedTuple):
    """Points, column by column."""

    steps: Ints
    times: Ints
    values: Floats

    def take(self, chosen: Selector) -> "Columns":
        """Return some of the points."""
        return Columns(self.steps[chosen], self.times[chosen], self.values[chosen])


def is_one_point(block: bytes) -> bool:
    """Whether a block ends like one of one point; its prefix must be checked beside."""
    return len(block) > ONE_POINT_BYTES and _TAGS_OF_ONE.unpack_from(block, -30) == _TAGS


def find_layout(block: bytes) -> Layout | None:
    """Return where things are, or None if the block is not canonical up to its values."""
    try:
        if block[0] != _KEY_TAG:
            return None
        offset = _skip(block, 0)
        while block[offset] == _CONTEXT_TAG:
            offset = _skip(block, offset)
        prefix = offset
        length, steps = wire.read_varint(block, offset + 1)
        header = steps - prefix
        times = steps + length + header
        values = times + length + header
        same_length = block[prefix + 1 : steps]
        if (
            length == 0
            or length % 8
            or block[prefix] != _STEPS_TAG
            or block[times - header] != _TIMES_TAG
            or block[values - header] != _VALUES_TAG
            or block[times - header + 1 : times] != same_length
            or block[values - header + 1 : values] != same_length
            or values + length > len(block)
        ):
            return None
    except (IndexError, ValueError):
        return None
    return Layout(prefix, length // 8, steps, times, values, values + length)


def read_columns(block: bytes, layout: Layout) -> Columns:
    """Return the columns where they lie; they can be read, not written."""
    count = layout.points
    return Columns(
        np.frombuffer(block, "<i8", count, layout.steps),
        np.frombuffer(block, "<i8", count, layout.times),
        np.frombuffer(block, "<f8", count, layout.values),
    )


def encode_columns(columns: Columns) -> bytes:
    """Return the encoded columns."""
    return b"".join(
        wire.bytes_field(number, np.ascontiguousarray(column, kind).tobytes())
        for number, column, kind in (
            (series_pb2.PointBlock.STEPS_FIELD_NUMBER, columns.steps, "<i8"),
            (series_pb2.PointBlock.TIMES_MILLIS_FIELD_NUMBER, columns.times, "<i8"),
            (series_pb2.PointBlock.VALUES_FIELD_NUMBER, columns.values, "<f8"),
        )
    )


def encode_single_points(columns: Columns) -> bytes:
    """Return the encoded columns of blocks of one point each, `ONE_POINT_BYTES` for each."""
    points = np.empty(len(columns.steps), ONE_POINT)
    points["steps_tag"], points["times_tag"], points["values_tag"] = _TAGS
    points["step"], points["time"], points["value"] = columns
    return points.tobytes()


def tail_of(sequence: int, *, is_late: bool) -> bytes:
    """Return what the service adds to a block."""
    tail = _SEQUENCE_TAG + wire.varint(sequence)
    return tail + _LATE_MARK if is_late else tail


def join(bodies: Sequence[bytes], first_sequence: int, *, is_late: bool) -> bytes:
    """Return the fragment of a `WatchMetricsResponse` that has these blocks.

    Args:
        bodies: Canonical blocks, without what the service adds.
        first_sequence: The sequence of the first; they count on from there.
        is_late: Whether they came after the run was sealed.
    """
    parts: list[bytes] = []
    mark = _LATE_MARK if is_late else b""
    high = -1
    upper = b""
    for sequence, body in enumerate(bodies, first_sequence):
        if sequence >> 7 != high:  # the rest of the number stays the same for 128 blocks
            high = sequence >> 7
            upper = wire.varint(high) + mark if high else mark
        tail = (_LOW_ENDS if high else _LOW)[sequence & 127] + upper
        size = len(body) + len(tail)
        parts += (_OPENINGS[size] if size < len(_OPENINGS) else _opening(size), body, tail)
    return b"".join(parts)


def envelop(block: bytes) -> bytes:
    """Return the fragment of a `WatchMetricsResponse` that has this whole block."""
    return _opening(len(block)) + block


def split(fragment: bytes) -> list[bytes]:
    """Return the blocks of a fragment, each with its tail."""
    return list(BLOCK_LISTS.FromString(fragment).blocks)


def split_bodies(fragment: bytes, first_sequence: int, *, is_late: bool) -> list[bytes]:
    """Return the blocks of a fragment that `join` made, without what the service adds."""
    extra = 1 + (len(_LATE_MARK) if is_late else 0)
    return [
        block[: -(extra + len(wire.varint(sequence)))]
        for sequence, block in enumerate(split(fragment), first_sequence)
    ]


def decode_single_points(encoded: Iterable[bytes]) -> Columns:
    """Return the points of what `encode_single_points` encodes."""
    points = np.frombuffer(b"".join(encoded), ONE_POINT)
    return Columns(
        cast("Ints", np.ascontiguousarray(points["step"])),
        cast("Ints", np.ascontiguousarray(points["time"])),
        cast("Floats", np.ascontiguousarray(points["value"])),
    )


def _opening(size: int) -> bytes:
    return _BLOCKS_TAG + wire.varint(size)


# What goes before and behind each block of ten thousands a second, made once.
_OPENINGS: Final = tuple(_opening(size) for size in range(512))
_LOW: Final = tuple(_SEQUENCE_TAG + bytes((low,)) for low in range(128))
_LOW_ENDS: Final = tuple(_SEQUENCE_TAG + bytes((low | 128,)) for low in range(128))


def _skip(block: bytes, offset: int) -> int:
    """Return where the length-delimited field ends that begins at `offset`."""
    length = block[offset + 1]
    if length < 0x80:  # noqa: PLR2004 - a varint of one byte
        return offset + 2 + length
    length, start = wire.read_varint(block, offset + 1)
    return start + length
