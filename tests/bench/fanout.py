"""How many watchers: 500 that read, and some that do not."""

import asyncio
import time
from typing import Final

import psutil

from bench import batches
from bench.batches import Template
from bench.figures import Figure
from bench.latency import latency_between
from bench.load import Load, Target, in_process, produce
from bench.product import APPEND_METRICS, Product, bare, running, settle
from bench.streams import connections, converse, drain, read
from bench.watching import BARE_RUN, Door, Watcher, door_of, door_of_bare

_WATCHERS: Final = 500
_BURST: Final = 400
_STALLED: Final = 50
_UNREAD: Final = Load(seconds=60, window=32, limit=500)
"""12 MB, more than grpc buffers for a peer that does not read."""


def many_watchers() -> list[Figure]:
    """500 watchers of one run, a burst of 400 batches of 100 points."""
    with bare("points") as target:
        template = batches.points(BARE_RUN, "p", count=100)
        yard = in_process(_burst, target, template, door_of_bare(target))
    with running() as product:
        (run_id,) = product.runs(1)
        template = batches.points(run_id, "p", count=100)
        target = product.target(APPEND_METRICS)
        ours = in_process(_burst, target, template, door_of(product, run_id))
    delivered = _WATCHERS * _BURST
    return [
        Figure(
            f"batches delivered to {_WATCHERS} watchers",
            delivered / ours,
            "batches/s",
            "≥ 0.6 of raw bytes",
            0.6,
            delivered / yard,
            higher_is_better=True,
        )
    ]


def beside_stalled() -> list[Figure]:
    """One watcher beside 50 that have 12 MB to read and do not, and without them."""
    with running() as product:
        alone, _ = _stalled(product, 0)
        beside, memory = _stalled(product, _STALLED)
    return [
        Figure(
            f"producer to watcher, p50, beside {_STALLED} stalled watchers",
            beside * 1000,
            "ms",
            "≤ 1.3 of without",
            1.3,
            alone * 1000,
        ),
        Figure("memory a stalled watcher takes", memory / _STALLED / 1e6, "MB", "≤ 8 MB", 8),
    ]


def _stalled(product: Product, count: int) -> tuple[float, float]:
    (run_id,) = product.runs(1)
    target = product.target(APPEND_METRICS)
    produce(target, [batches.points(run_id, "filling", count=1000)], _UNREAD)
    product.settle()
    return in_process(
        _latency_beside_stalled,
        target,
        batches.points(run_id, "p", count=100),
        (door_of(product, run_id), door_of(product, run_id, is_new=False)),
        count,
        product.process.pid,
    )


async def _latency_beside_stalled(
    target: Target, template: Template, doors: tuple[Door, Door], stalled: int, pid: int
) -> tuple[float, float]:
    """Return the median latency, and the memory that the server took since the beginning."""
    door, stalled_door = doors
    server = psutil.Process(pid)
    before = server.memory_info().rss
    async with (
        connections(target.address, 8) as channels,
        connections(target.address, 2) as (sending, watching),
    ):
        calls = [stalled_door.open(channels[index % len(channels)]) for index in range(stalled)]
        for call in calls:
            await read(call)  # and never again
        await asyncio.to_thread(settle, pid)  # until grpc takes no more
        latency = await latency_between(sending, watching, target, template, door)
        return latency, server.memory_info().rss - before


async def _burst(target: Target, template: Template, door: Door) -> float:
    """Return the seconds from the first batch until every watcher has the last."""
    async with (
        connections(target.address, 8) as channels,
        connections(target.address, 1) as (sending,),
    ):
        watchers = [
            Watcher(door.open(channels[index % len(channels)])) for index in range(_WATCHERS)
        ]
        for watcher in watchers:
            await watcher.until_subscribed()
        call = converse(sending, target.ingest, target.metadata)
        acknowledgements = asyncio.create_task(drain(call))
        begin = time.perf_counter()
        for sequence in range(1, _BURST + 1):
            await call.write(template.request(sequence))
        for watcher in watchers:
            await watcher.until(_BURST)
        taken = time.perf_counter() - begin
        await call.done_writing()
        await acknowledgements
        for watcher in watchers:
            await watcher.close()
        return taken
