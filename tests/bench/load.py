"""Producers, in a process of their own so that the server's processor is its own."""

import asyncio
import multiprocessing
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import numpy as np
import uvloop

from bench.batches import Template
from bench.streams import Conversation, Metadata, connections, converse, read
from trackside_protos.metrics.v1 import metrics_service_pb2

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A server: where it takes batches in, and how it acknowledges."""

    address: str
    ingest: str
    metadata: Metadata = ()
    counts_acks: bool = False
    """Whether an acknowledgement is a count (the bare program) or names a batch number."""

    def acknowledged(self, response: bytes, before: int) -> int:
        """Return how many batches a response acknowledges that were not before."""
        if self.counts_acks:
            (count,) = struct.unpack("<I", response)
            return int(count)
        # The three services acknowledge in the same field.
        parsed = metrics_service_pb2.AppendMetricsResponse.FromString(response)
        return max(0, parsed.acknowledgement.through_sequence - before)


@dataclass(frozen=True)
class Load:
    """How producers send.

    Attributes:
        seconds: How long.
        window: How many batches a producer may have unacknowledged.
        rate: Batches a second offered by all together; 0: as fast as acknowledgements allow.
        limit: Batches of each producer at most.
    """

    seconds: float
    window: int
    rate: float = 0.0
    limit: int = 1 << 62


@dataclass
class Produced:
    """What producers achieved."""

    batches: int = 0
    items: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])

    @property
    def batches_a_second(self) -> float:
        """Acknowledged batches a second."""
        return self.batches / self.seconds

    @property
    def items_a_second(self) -> float:
        """Acknowledged items a second."""
        return self.items / self.seconds

    def latency(self, percentile: float) -> float:
        """Return a percentile of the times to the acknowledgement, in seconds."""
        return float(np.percentile(self.latencies, percentile))


def produce(target: Target, templates: Sequence[Template], load: Load) -> Produced:
    """Send batches, each template over a connection of its own; return what was acknowledged."""
    return in_process(_produce_all, target, templates, load)


def in_process(
    function: Callable[P, Coroutine[None, None, T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a coroutine function in a fresh process and return its result."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_run, function, *args, **kwargs).result()


def _run(function: Callable[P, Coroutine[None, None, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    return uvloop.run(function(*args, **kwargs))


async def _produce_all(target: Target, templates: Sequence[Template], load: Load) -> Produced:
    produced = Produced()
    async with connections(target.address, len(templates)) as channels:
        begin = time.perf_counter()
        gap = len(templates) / load.rate if load.rate else 0.0
        producers = [
            _Producer(target, template, load, converse(channel, target.ingest, target.metadata))
            for template, channel in zip(templates, channels, strict=True)
        ]
        await asyncio.gather(
            *(
                producer.run(begin, gap, gap * index / len(producers))
                for index, producer in enumerate(producers)
            )
        )
        produced.seconds = time.perf_counter() - begin
    for producer in producers:
        produced.batches += producer.acked
        produced.items += producer.acked * producer.template.items
        produced.latencies += producer.latencies
    return produced


class _Producer:
    """One connection: sends while there is room, and counts what is acknowledged."""

    def __init__(self, target: Target, template: Template, load: Load, call: Conversation) -> None:
        self.template = template
        self.acked = 0
        self.latencies: list[float] = []
        self._target = target
        self._load = load
        self._call = call
        self._room = asyncio.Semaphore(load.window)
        self._sent: deque[float] = deque()

    async def run(self, begin: float, gap: float, offset: float) -> None:
        """Send from `begin` for as long as the load lasts, every `gap` seconds if that is set."""
        reader = asyncio.create_task(self._read())
        due = begin + offset
        sequence = 0
        while time.perf_counter() < begin + self._load.seconds and sequence < self._load.limit:
            if gap:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                due += gap
            await self._room.acquire()
            self._sent.append(time.perf_counter())
            sequence += 1
            await self._call.write(self.template.request(sequence))
        await self._call.done_writing()
        await reader

    async def _read(self) -> None:
        while (response := await read(self._call)) is not None:
            now = time.perf_counter()
            count = self._target.acknowledged(response, self.acked)
            self.acked += count
            for _ in range(count):
                self.latencies.append(now - self._sent.popleft())
                self._room.release()
