"""What the benchmarks send: batches with everything but their number encoded beforehand."""

import time
from dataclasses import dataclass

import numpy as np

from trackside_protos.logs.v1 import log_entry_pb2, logs_service_pb2
from trackside_protos.metrics.v1 import metrics_service_pb2, series_pb2
from trackside_protos.producers.v1 import batch_pb2

_TEXT = """
    loaded batch of samples from cache for worker gradient norm learning rate epoch step
    throughput tokens per second loss accuracy validation checkpoint saved to disk queue
"""


@dataclass(frozen=True)
class Template:
    """A request whose header is put before it when it is sent."""

    run_id: str
    producer_id: str
    body: bytes
    items: int

    def request(self, sequence: int) -> bytes:
        """Return the encoded request with this batch number."""
        header = batch_pb2.Batch(
            run_id=self.run_id, producer_id=self.producer_id, epoch=1, sequence=sequence
        ).SerializeToString()
        return b"\x0a" + _varint(len(header)) + header + self.body


def points(run_id: str, producer_id: str, *, count: int, keys: int = 1, seed: int = 0) -> Template:
    """Return a batch of noisy doubles: `count` points of each of `keys` series."""
    random = np.random.default_rng(seed)
    now = time.time_ns() // 1_000_000
    blocks = [
        series_pb2.PointBlock(
            key=f"train/metric-{key}",
            steps=range(count),
            times_millis=range(now, now + 100 * count, 100),
            values=random.normal(1, 0.1, count).tolist(),
        )
        for key in range(keys)
    ]
    body = metrics_service_pb2.AppendMetricsRequest(blocks=blocks).SerializeToString()
    return Template(run_id, producer_id, body, count * keys)


def lines(run_id: str, producer_id: str, *, count: int, seed: int = 0) -> Template:
    """Return a batch of log lines of about 110 bytes."""
    random = np.random.default_rng(seed)
    words = _TEXT.split()
    start = time.time_ns()
    request = logs_service_pb2.AppendLogsRequest()
    for index in range(count):
        text = " ".join(random.choice(words, 13))
        entry = request.entries.add(
            level=log_entry_pb2.LOG_LEVEL_INFO,
            message=f"{text} {random.random():.6f}"[:110].ljust(110, "."),
            stream="stdout",
        )
        entry.time.FromNanoseconds(start + index * 1_000_000)
    return Template(run_id, producer_id, request.SerializeToString(), count)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
