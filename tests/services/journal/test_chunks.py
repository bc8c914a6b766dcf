import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_journal.chunks import (
    COLUMNS,
    RAW,
    ZSTD,
    Chunk,
    PointColumns,
    pack,
    pack_points,
    unpack,
    unpack_points,
)
from trackside_journal.errors import ChunkCorruptError

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT64 = st.floats(width=64)
COUNT = np.arange(20, dtype=np.int64)


@st.composite
def columns(draw: st.DrawFn) -> PointColumns:
    blocks = draw(st.lists(st.tuples(INT64, INT64), max_size=8))
    points = draw(st.lists(st.tuples(INT64, INT64, FLOAT64), max_size=40))
    return PointColumns(
        np.array([block[0] for block in blocks], np.int64),
        np.array([block[1] for block in blocks], np.int64),
        np.array([point[0] for point in points], np.int64),
        np.array([point[1] for point in points], np.int64),
        np.array([point[2] for point in points], np.float64),
    )


def bits_of(points: PointColumns) -> list[bytes]:
    return [
        column.tobytes()
        for column in (points.sequences, points.sizes, points.steps, points.times, points.values)
    ]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(content=st.binary(max_size=4000) | st.binary(max_size=20).map(lambda data: data * 200))
def test_content_comes_back(content: bytes) -> None:
    assert unpack(pack(content), first=1, last=2) == content


def test_small_content_is_kept_as_it_is_and_large_is_compressed() -> None:
    assert pack(b"x" * 100).codec == RAW
    assert pack(b"x" * 1000).codec == ZSTD
    assert len(pack(b"x" * 1000).blob) < 100


@given(points=columns())
def test_points_come_back_bit_by_bit(points: PointColumns) -> None:
    found = unpack_points(pack_points(points), first=1, last=2)

    assert bits_of(found) == bits_of(points)


def test_infinities_not_a_number_and_minus_zero_come_back_bit_by_bit() -> None:
    odd_nan: float = struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf4\xff")[0]
    values = np.array([math.inf, -math.inf, math.nan, odd_nan, -0.0, 5e-324])
    counts = np.arange(6, dtype=np.int64)
    points = PointColumns(counts[:1], counts[:1], counts, counts, values)

    found = unpack_points(pack_points(points), first=1, last=1)

    assert found.values.tobytes() == values.tobytes()


def test_regular_points_take_little_more_than_their_values() -> None:
    steps = np.arange(10_000, dtype=np.int64)
    values = np.random.default_rng(0).normal(size=10_000)
    points = PointColumns(
        steps[:10], np.full(10, 1000, np.int64), steps, steps * 100 + 1_700_000_000_000, values
    )

    chunk = pack_points(points)

    assert chunk.codec == COLUMNS
    assert len(chunk.blob) < 8.2 * 10_000


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(pack(b"a line of a log"), id="raw"),
        pytest.param(pack(b"a line of a log, " * 20), id="zstd"),
        pytest.param(
            pack_points(PointColumns(COUNT, COUNT, COUNT, COUNT, np.arange(20.0))),
            id="columns",
        ),
    ],
)
def test_every_single_flipped_bit_is_noticed(chunk: Chunk) -> None:
    damaged = [
        *(replace(chunk, blob=flipped(chunk.blob, bit)) for bit in range(len(chunk.blob) * 8)),
        *(replace(chunk, checksum=chunk.checksum ^ 1 << bit) for bit in range(32)),
        *(replace(chunk, codec=chunk.codec ^ 1 << bit) for bit in range(8)),
    ]

    for one in damaged:
        with pytest.raises(ChunkCorruptError):
            unpack(one, first=3, last=9)


@given(chunk=st.builds(Chunk, st.integers(0, 5), st.integers(0, 2**32 - 1), st.binary()))
def test_garbage_is_corrupt(chunk: Chunk) -> None:
    with pytest.raises(ChunkCorruptError):
        unpack(chunk, first=1, last=1)


def test_a_cut_chunk_is_corrupt_and_says_which_sequences_are_lost() -> None:
    chunk = pack(b"a line of a log, " * 20)

    with pytest.raises(ChunkCorruptError) as caught:
        unpack(replace(chunk, blob=chunk.blob[:-1]), first=3, last=9)

    assert caught.value.metadata == {"first_sequence": "3", "last_sequence": "9"}
