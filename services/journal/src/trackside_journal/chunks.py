"""The codec of chunks: how batches of lines and of points are kept in one column.

A chunk is a blob with a codec number and a checksum beside it: the CRC-32C of the codec's
number, one byte, and the blob. Codecs, version 1:

0  raw       the content as it is; for what is too small to gain
1  zstd      the content, compressed by Zstandard level 1
2  columns   points of one series in order of sequence, compressed by Zstandard level 1 from
             a header of four little-endian 32-bit counts (blocks b, points p, 0, 0) and the
             planes of these columns: sequences[b], sizes[b], steps[p], times[p], values[p]

A plane is a column of 8-byte little-endian words, shuffled: the first bytes of all words,
then the second bytes, and so on. All columns but the values are first replaced by the
differences of neighbours, so regular steps and times all but vanish.
"""

import struct
import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import zstandard

from trackside_journal.checksums import crc32c, crc32c_extended
from trackside_journal.errors import ChunkCorruptError

RAW: Final = 0
ZSTD: Final = 1
COLUMNS: Final = 2

_LEVEL: Final = 1
_WORTH_COMPRESSING: Final = 128
_WORTH_LOOKING: Final = 512
_COLUMNS_HEADER: Final = struct.Struct("<4I")
_LARGEST_CONTENT: Final = 256 << 20

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """An encoded chunk, as it is stored."""

    codec: int
    checksum: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class PointColumns:
    """Points of one series: `sizes[i]` of them belong to the block of `sequences[i]`."""

    sequences: Ints
    sizes: Ints
    steps: Ints
    times: Ints
    values: Floats


class _Tools(threading.local):
    """Zstandard contexts may not be shared by threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_TOOLS: Final = _Tools()
_SEEDS: Final = {codec: crc32c(bytes((codec,))) for codec in (RAW, ZSTD, COLUMNS)}


def pack(content: bytes) -> Chunk:
    """Encode any bytes, compressed when it is worth it."""
    if len(content) < _WORTH_COMPRESSING:
        return _chunk(RAW, content)
    return _chunk(ZSTD, _TOOLS.compressor.compress(content))


def unpack(chunk: Chunk, *, first: int, last: int) -> bytes:
    """Return the content of a chunk that holds the sequences from `first` to `last`.

    Raises:
        ChunkCorruptError: The stored bytes are not what was stored.
    """
    if _checksum(chunk.codec, chunk.blob) != chunk.checksum:
        raise ChunkCorruptError(first=first, last=last)
    if chunk.codec == RAW:
        return chunk.blob
    try:
        return _TOOLS.decompressor.decompress(chunk.blob, max_output_size=_LARGEST_CONTENT)
    except zstandard.ZstdError as error:
        raise ChunkCorruptError(first=first, last=last) from error


def pack_points(points: PointColumns) -> Chunk:
    """Encode points of one series."""
    header = _COLUMNS_HEADER.pack(len(points.sequences), len(points.steps), 0, 0)
    columns = (points.sequences, points.sizes, points.steps, points.times)
    planes = [_shuffle(_differences(column)) for column in columns]
    planes.append(_shuffle(np.ascontiguousarray(points.values, "<f8")))
    return _chunk(COLUMNS, _TOOLS.compressor.compress(header + b"".join(planes)))


def unpack_points(chunk: Chunk, *, first: int, last: int) -> PointColumns:
    """Return the points of a chunk of codec COLUMNS.

    Raises:
        ChunkCorruptError: The stored bytes are not what was stored.
    """
    content = unpack(chunk, first=first, last=last)
    blocks, _, _, _ = _COLUMNS_HEADER.unpack_from(content)
    sizes = _COLUMNS_HEADER.size + 8 * blocks
    steps, times, values = _bare_points(content)
    return PointColumns(
        _integers(content, _COLUMNS_HEADER.size, blocks),
        _integers(content, sizes, blocks),
        steps,
        times,
        values,
    )


def unpack_bare_points(chunk: Chunk, *, first: int, last: int) -> tuple[Ints, Ints, Floats]:
    """Return steps, times and values only, which is faster when there are many small blocks.

    Raises:
        ChunkCorruptError: The stored bytes are not what was stored.
    """
    return _bare_points(unpack(chunk, first=first, last=last))


def _bare_points(content: bytes) -> tuple[Ints, Ints, Floats]:
    blocks, points, _, _ = _COLUMNS_HEADER.unpack_from(content)
    steps = _COLUMNS_HEADER.size + 16 * blocks
    times = steps + 8 * points
    values = np.array(_planes(content, times + 8 * points, points).T, order="C")
    return (
        _integers(content, steps, points),
        _integers(content, times, points),
        values.view("<f8").ravel(),
    )


def _integers(content: bytes, offset: int, count: int) -> Ints:
    """Return a column that was replaced by its differences.

    Most differences fit into a byte or two, all but the first: then the other planes, which
    are zero there, need not be put together.
    """
    planes = _planes(content, offset, count)
    if count < _WORTH_LOOKING or planes[2:, 1:].any():
        column = np.array(planes.T, order="C").view("<i8").ravel()
    else:
        column = planes[0].astype(np.int64)
        if planes[1, 1:].any():
            column += planes[1].astype(np.int64) << 8
        column[0] = int.from_bytes(planes[:, 0].tobytes(), "little", signed=True)
    return np.add.accumulate(column, out=column)  # what cumsum does, at half its cost


def _planes(content: bytes, offset: int, count: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8, count * 8, offset).reshape(8, count)


def _differences(column: Ints) -> Ints:
    differences = np.array(column, "<i8")
    np.subtract(column[1:], column[:-1], out=differences[1:])
    return differences


def _chunk(codec: int, blob: bytes) -> Chunk:
    return Chunk(codec, _checksum(codec, blob), blob)


def _checksum(codec: int, blob: bytes) -> int:
    return crc32c_extended(_SEEDS.get(codec, 0), blob)


def _shuffle(column: Ints | Floats) -> bytes:
    return column.view(np.uint8).reshape(-1, 8).T.tobytes()
