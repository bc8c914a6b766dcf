"""What the benchmarks send: batches that are encoded beforehand, but for what moves on."""

import time
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from trackside_protos.logs.v1 import log_entry_pb2, logs_service_pb2
from trackside_protos.metrics.v1 import metrics_service_pb2, series_pb2
from trackside_protos.producers.v1 import batch_pb2

_MESSAGES: Final = (
    "epoch {0}: step {1} of 20000, loss {2:.6f}, accuracy {3:.4f}, {4} samples/s, memory 9731 MiB",
    "worker {0} loaded batch {1} of {4} samples from /data/train/shard-{1:05}.parquet in {3:.4f} s",
    "GET /api/v1/datasets/train/splits/{0}?offset={1} 200 in {3:.4f} s, {4} kB, retries 0",
    "gradient norm {2:.6f} above 1.0000 at step {1}: scaled by {3:.4f}, learning rate 3.000e-04",
    "saved checkpoint checkpoints/step-{1:08}.pt, 1438 MiB, validation loss {2:.6f}, best so far",
)
_LINE_CHARACTERS: Final = 110
_TEXTS: Final = 16
"""Batches of lines that differ: more than what a compressor looks back on."""

_POOL: Final = 1 << 16
_STRIDE: Final = 7919


class Body(Protocol):
    """A request behind its header."""

    def encoded(self, sequence: int) -> bytes:
        """Return what the batch of this number carries."""
        ...


@dataclass(frozen=True)
class Template:
    """The batches of one producer.

    Attributes:
        run_id: The run.
        producer_id: The producer.
        body: What each batch carries.
        items: How many points or lines that are.
    """

    run_id: str
    producer_id: str
    body: Body
    items: int

    def request(self, sequence: int) -> bytes:
        """Return the encoded request with this batch number."""
        header = batch_pb2.Batch(
            run_id=self.run_id, producer_id=self.producer_id, epoch=1, sequence=sequence
        ).SerializeToString()
        return b"\x0a" + _varint(len(header)) + header + self.body.encoded(sequence)


def points(run_id: str, producer_id: str, *, count: int, keys: int = 1, seed: int = 0) -> Template:
    """Return batches of `count` points of each of `keys` series: noisy doubles, regular steps."""
    return Template(run_id, producer_id, PointBody(count, keys, seed), count * keys)


def lines(run_id: str, producer_id: str, *, count: int, seed: int = 0) -> Template:
    """Return batches of log lines of 110 bytes, such as programs write."""
    return Template(run_id, producer_id, LineBody(count, seed), count)


@dataclass
class PointBody:
    """Blocks of one length each, in which steps, times and values are written in place."""

    count: int
    keys: int
    seed: int
    _buffer: bytearray = field(init=False)
    _columns: list[npt.NDArray[np.int64]] = field(init=False)
    _pool: npt.NDArray[np.float64] = field(init=False)
    _began: int = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self._pool = random.normal(1, 0.1, _POOL + self.count * self.keys)
        self._began = time.time_ns() // 1_000_000
        zeros = [0] * self.count
        blocks = [
            series_pb2.PointBlock(
                key=f"train/metric-{key:02}", steps=zeros, times_millis=zeros, values=zeros
            )
            for key in range(self.keys)
        ]
        request = metrics_service_pb2.AppendMetricsRequest(blocks=blocks)
        self._buffer = bytearray(request.SerializeToString())
        self._columns = self._find_columns()

    def __reduce__(self) -> tuple[type["PointBody"], tuple[int, int, int]]:
        # A copy in another process needs views into a buffer of its own.
        return PointBody, (self.count, self.keys, self.seed)

    def _find_columns(self) -> list[npt.NDArray[np.int64]]:
        """Return steps, times and values of all blocks as views into the buffer."""
        distance = len(self._buffer) // self.keys
        column = 1 + len(_varint(8 * self.count)) + 8 * self.count
        first = distance - 3 * column
        return [
            np.ndarray(
                (self.keys, self.count),
                "<i8",
                self._buffer,
                offset=first + column * (number + 1) - 8 * self.count,
                strides=(distance, 8),
            )
            for number in range(3)
        ]

    def encoded(self, sequence: int) -> bytes:
        """Return the blocks with the points that come next."""
        before = (sequence - 1) * self.count
        steps, times, values = self._columns
        steps[:] = np.arange(before, before + self.count)
        times[:] = steps * 100 + self._began
        start = sequence * _STRIDE % _POOL
        chosen = self._pool[start : start + self.count * self.keys]
        values[:] = chosen.view(np.int64).reshape(values.shape)
        return bytes(self._buffer)


class LineBody:
    """Some texts that take turns."""

    def __init__(self, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._texts = [_lines(random, count) for _ in range(_TEXTS)]

    def encoded(self, sequence: int) -> bytes:
        """Return the entries of this turn."""
        return self._texts[sequence % _TEXTS]


def _lines(random: np.random.Generator, count: int) -> bytes:
    now = time.time_ns() // 1000
    request = logs_service_pb2.AppendLogsRequest()
    choices: list[int] = random.integers(len(_MESSAGES), size=count).tolist()
    small: list[list[int]] = random.integers((8, 500), size=(count, 2)).tolist()
    fractions: list[list[float]] = random.random((count, 2)).tolist()
    for step, choice in enumerate(choices):
        (epoch, rate), (loss, accuracy) = small[step], fractions[step]
        message = _MESSAGES[choice].format(epoch, step, loss, accuracy, rate)
        now += int(accuracy * 10_000)
        entry = request.entries.add(
            level=log_entry_pb2.LOG_LEVEL_INFO,
            message=message.ljust(_LINE_CHARACTERS, "."),
            stream="stdout",
        )
        entry.time.FromMicroseconds(now)
    return request.SerializeToString()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
